"""Tokens a second through NeMo's server: by batch size, and what our client makes of them.

    python benchmarks/generation.py --configfile config/demo.yaml

The same prompts are continued greedily, so every way generates the same tokens. A plain caller
sends them in the order of the file, one request after the other; our client packs prompts of like
length and keeps requests in flight. The ways take turns, several rounds in one run, and each is
given by its median, so that a busy machine slows all of them.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import requests

from cai.asking.client import Client, ClientSettings, Failed, Request
from cai.asking.journal.entries import Journal
from cai.asking.serving import Served
from cai.core import cli
from cai.files.records import Record, read_jsonl, write_json
from cai.models.own_template import resolved
from cai.models.sampling import Sampling
from cai.models.templates import Template, single_turn
from cai.models.tokens import Tokenizer
from cai.running.launcher import filled
from cai.settings.configuration import load_settings
from cai.workflow import servers

ROOT = Path(__file__).parents[1]

BATCHES = (1, 32, 128)
IN_FLIGHT = (1, 2, 3)
SINGLE = 32  # prompts that are also asked one by one


def main() -> None:
    """Serve the model, measure, print a table."""
    options = _options()
    settings = load_settings(["config/config.yaml", *options.configfile])
    results = Path(settings.results)
    model = options.model or results / "models/instruct.nemo"
    template = resolved(settings.models.instruct.template, model)
    sampling = Sampling(max_tokens=options.max_tokens, greedy=True)
    prompts = _prompts(options.prompts or results / "data/red_team/train.jsonl", template)
    prompts = prompts[: options.count]
    tokenizer = Tokenizer(model)
    lengths = {p: tokenizer.count(p, add_bos=template.add_bos) for p in prompts}
    command = filled(servers.command(settings, "instruct"), {"MODEL": model})
    with TemporaryDirectory() as folder, Served(command, None, Path(folder, "log")) as served:
        ways = {f"plain, batches of {n}": _plain(served, template, sampling, n) for n in BATCHES}
        for flights in IN_FLIGHT:
            ways[f"our client, {flights} in flight"] = _ours(served, template, sampling, flights)
        new_tokens = _new_tokens(served, template, sampling, prompts, lengths)
        rates = _measure(ways, prompts, new_tokens, options.rounds)
    _report(rates, options.output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", nargs="+", default=[], help="files over config/config.yaml")
    parser.add_argument("--model", type=Path, help="default: models/instruct.nemo of the results")
    parser.add_argument("--prompts", type=Path, help="JSONL with prompt; default: red-team prompts")
    parser.add_argument("--count", type=int, default=512, help="prompts (default: 512)")
    parser.add_argument("--max-tokens", type=int, default=44, help="longest answer (default: 44)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way (default: 3)")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    return parser.parse_args()


Way = Callable[[list[str]], list[str]]


def _prompts(path: Path, template: Template) -> list[str]:
    return [template.prompt(single_turn(row["prompt"])) for row in read_jsonl(path)]


def _body(template: Template, sampling: Sampling, prompts: list[str]) -> Record:
    return {
        "sentences": prompts,
        "tokens_to_generate": sampling.max_tokens,
        "greedy": True,
        "add_BOS": template.add_bos,
        "end_strings": [*(s for s in template.stop if s != "</s>"), "<|endoftext|>"],
    }


def _put(served: Served, body: Record) -> Record:
    response = requests.put(f"{served.url}/generate", json=body, timeout=600)
    response.raise_for_status()
    answer: Record = response.json()
    return answer


def _new_tokens(
    served: Served,
    template: Template,
    sampling: Sampling,
    prompts: list[str],
    lengths: dict[str, int],
) -> dict[str, int]:
    """How many tokens each prompt's answer has, its end among them; warms the server up, too."""
    counts = {}
    for start in range(0, len(prompts), 128):
        batch = prompts[start : start + 128]
        answer = _put(served, _body(template, sampling, batch))
        for prompt, tokens in zip(batch, answer["tokens"], strict=True):
            new = tokens[lengths[prompt] :]
            counts[prompt] = new.index("</s>") + 1 if "</s>" in new else len(new)
    return counts


def _plain(served: Served, template: Template, sampling: Sampling, size: int) -> Way:
    def ask(prompts: list[str]) -> list[str]:
        asked = prompts[:SINGLE] if size == 1 else prompts
        for start in range(0, len(asked), size):
            _put(served, _body(template, sampling, asked[start : start + size]))
        return asked

    return ask


def _ours(served: Served, template: Template, sampling: Sampling, flights: int) -> Way:
    def ask(prompts: list[str]) -> list[str]:
        with TemporaryDirectory() as folder, Journal(Path(folder, "journal")) as journal:
            client = Client(served, journal, "model", ClientSettings(in_flight=flights))
            stop = tuple(template.stop)
            answers = client.complete(
                [Request(p, sampling, 0, stop, template.add_bos) for p in prompts], None
            )
        assert not any(isinstance(answer, Failed) for answer in answers)
        return prompts

    return ask


def _measure(
    ways: dict[str, Way], prompts: list[str], new_tokens: dict[str, int], rounds: int
) -> dict[str, float]:
    """Tokens a second of each way: the median of the rounds."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, ask in ways.items():
            started = time.perf_counter()
            asked = ask(prompts)
            elapsed = time.perf_counter() - started
            rates[way].append(sum(new_tokens[prompt] for prompt in asked) / elapsed)
    return {way: median(values) for way, values in rates.items()}


def _report(rates: dict[str, float], output: Path | None) -> None:
    best = max(rate for way, rate in rates.items() if way.startswith("plain"))
    print("| way | tokens/s | of the best plain |\n|---|---:|---:|")
    for way, rate in rates.items():
        print(f"| {way} | {rate:.0f} | {rate / best:.2f} |")
    if output is not None:
        write_json(output, rates)


if __name__ == "__main__":
    cli.run(main)
