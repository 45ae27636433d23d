"""Samples a second of the supervised stage: the tutorial's way of asking, and ours.

    python benchmarks/tutorial.py --configfile config/demo.yaml

A sample is a response, its critique and its revision. The tutorial's client sends 32 prompts and
waits, then their critique requests and waits, then their revision requests; a last batch that is
not full it drops. Ours answers all prompts, then criticises all, then revises all, each with as
many requests in flight as the server takes. Both ask the same questions, greedily, of the same
server: NeMo's, and `transformers serve` with continuous batching, which takes one prompt a request,
so that the tutorial's batch is 32 requests at a time. The ways take turns in one run; each is given
by its median.
"""

import argparse
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import requests

from cai.asking.chat_model import ChatModel
from cai.asking.journal.entries import Journal
from cai.asking.run import client_of, served_by
from cai.asking.serving import Served
from cai.asking.transport.pool import in_flight
from cai.core import cli
from cai.files.records import Ledger, Prompt, Record, read_records, write_json
from cai.models.own_template import resolved
from cai.models.sampling import Sampling
from cai.models.templates import Template, single_turn
from cai.models.tokens import Tokenizer
from cai.nemo import programs
from cai.running.launcher import Launcher, filled
from cai.settings.configuration import Settings, load_settings
from cai.settings.constitution import draw_principle, for_stage, load_constitution
from cai.settings.model_servers import ClientSettings, Serving
from cai.steps.answers import respond
from cai.steps.critique import Chain, Revising, Round, conversation, revise

ROOT = Path(__file__).parents[1]

BATCH = 32  # prompts that the tutorial's client sends at a time
NEMO = Serving()
OTHER = Serving(kind="openai", prompts="text", extensions=False)
COMMAND = ["envs/serve-cpu/serve", "MODEL", "FREE_PORT"]
Way = Callable[[list[Prompt]], int]


class TimedJournal(Journal):
    """A journal that knows how long its callers waited for it, in seconds."""

    seconds = 0.0

    def __contains__(self, key: str) -> bool:
        """See :class:`Journal`."""
        return bool(self._timed(super().__contains__, key))

    def get(self, key: str) -> object:
        """See :class:`Journal`."""
        return self._timed(super().get, key)

    def put_all(self, *arguments: object) -> None:
        """See :class:`Journal`."""
        self._timed(super().put_all, *arguments)

    def _timed(self, call: Callable[..., object], *arguments: object) -> object:
        started = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            self.seconds += time.perf_counter() - started


def main() -> None:
    """Serve the model by each kind of server, measure, print a table."""
    options = _options()
    settings = load_settings(["config/config.yaml", *options.configfile])
    results = Path(settings.results)
    model = options.model or results / "models/instruct.nemo"
    prompts = list(read_records(options.prompts or results / "data/red_team/train.jsonl", Prompt))
    prompts = prompts[: options.count]
    rows = []
    for serving in (NEMO, OTHER):
        if serving.kind not in options.servers:
            continue
        serving = serving.model_copy(update={"in_flight": options.in_flight})
        with TemporaryDirectory() as folder, _serve(serving, settings, model, Path(folder)) as it:
            bench = Bench(serving, it, settings, Tokenizer(model), Path(folder), options)
            rows += bench.measure(prompts)
    _report(rows, options.output)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", nargs="+", default=[], help="files over config/config.yaml")
    parser.add_argument("--model", type=Path, help="default: models/instruct.nemo of the results")
    parser.add_argument("--prompts", type=Path, help="JSONL with prompt; default: red-team prompts")
    parser.add_argument("--count", type=int, default=330, help="prompts (default: 330)")
    parser.add_argument("--max-tokens", type=int, default=44, help="longest answer (default: 44)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way (default: 3)")
    parser.add_argument("--in-flight", type=int, default=128, help="of the second server")
    parser.add_argument("--servers", nargs="+", default=["nemo", "openai"], help="which")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    return parser.parse_args()


def _serve(serving: Serving, settings: Settings, model: Path, folder: Path) -> Served:
    if serving.kind == "nemo":
        command = [*programs.server(settings, "instruct"), f"gpt_model_file={model}"]
        return served_by(serving, Launcher().sized(command), None, folder / "log")
    program = [settings.nemo.python, "scripts/convert_nemo_to_hf.py"]
    subprocess.run([*program, model, folder / "exported"], check=True)
    command = filled(COMMAND, {"MODEL": folder / "exported"})
    return served_by(serving, command, None, folder / "log")


class Bench:
    """Both ways of asking one server."""

    def __init__(
        self,
        serving: Serving,
        served: Served,
        settings: Settings,
        tokenizer: Tokenizer,
        folder: Path,
        options: argparse.Namespace,
    ) -> None:
        self.serving, self.served, self.tokenizer = serving, served, tokenizer
        self.folder, self.rounds = folder, options.rounds
        model = Path(settings.results, "models/instruct.nemo")
        self.template: Template = resolved(settings.models.instruct.template, model)
        self.sampling = Sampling(max_tokens=options.max_tokens, min_tokens=0, greedy=True)
        principles = for_stage(load_constitution(settings.constitution), "supervised")
        texts = {chosen["id"]: chosen for chosen in principles}
        self.how = Revising(texts, [], 1, self.sampling, self.sampling, settings.seed)
        self.journal_share: list[float] = []
        self.session = requests.Session()
        self.session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=BATCH))
        self.name = ""

    def measure(self, prompts: list[Prompt]) -> list[Record]:
        """A row for each way: samples a second, and what was left out."""
        self._warm_up(prompts)
        ways: dict[str, Way] = {
            "the tutorial's way": self.tutorial,
            "ours, the journal in memory": self.without_a_file,
            "ours": self.ours,
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        done: dict[str, int] = {}
        for _ in range(self.rounds):
            for way, ask in ways.items():
                started = time.perf_counter()
                done[way] = ask(prompts)
                rates[way].append(done[way] / (time.perf_counter() - started))
        first = median(rates["the tutorial's way"])
        return [
            {
                "server": "NeMo's" if self.serving.kind == "nemo" else "transformers serve",
                "way": way,
                "samples_per_second": median(values),
                "all_rounds": values,
                "ratio": median(values) / first,
                "samples": done[way],
                "of_prompts": len(prompts),
                "journal_share": median(self.journal_share) if way == "ours" else None,
            }
            for way, values in rates.items()
        ]

    def _warm_up(self, prompts: list[Prompt]) -> None:
        if self.serving.kind == "openai":
            listed = self.session.get(self.served.url + "/v1/models", timeout=60).json()
            self.name = listed["data"][0]["id"]
        self._send([self.template.prompt(single_turn(row["prompt"])) for row in prompts[:BATCH]])

    def ours(self, prompts: list[Prompt]) -> int:
        """Our steps, with a new journal on the disk."""
        with TemporaryDirectory(dir=self.folder) as folder:
            started = time.perf_counter()
            with TimedJournal(Path(folder, "journal.jsonl")) as journal:
                done = self._steps(prompts, journal)
            self.journal_share.append(journal.seconds / (time.perf_counter() - started))
        return done

    def without_a_file(self, prompts: list[Prompt]) -> int:
        """Our steps, with nothing kept on the disk."""
        return self._steps(prompts, Journal(None))

    def _steps(self, prompts: list[Prompt], journal: Journal) -> int:
        client = client_of(
            self.serving, self.served, journal, "m", ClientSettings(), self.tokenizer
        )
        model = ChatModel(client, self.template)
        seed = self.how.seed
        answered = list(respond(model, prompts, self.sampling, seed, Ledger("respond")))
        return len(list(revise(model, answered, self.how, Ledger("revise"))))

    def tutorial(self, prompts: list[Prompt]) -> int:
        """Batches of 32: each is answered, criticised and revised before the next is begun."""
        done = 0
        for start in range(0, len(prompts) - BATCH + 1, BATCH):
            rows = [self._row(row) for row in prompts[start : start + BATCH]]
            answers = self._send([self.template.prompt(single_turn(row["prompt"])) for row in rows])
            for row, answer in zip(rows, answers, strict=True):
                row["response"] = answer
            for row, answer in zip(rows, self._told(rows, "critique"), strict=True):
                row["rounds"][-1]["critique"] = answer
            for row, answer in zip(rows, self._told(rows, "revision"), strict=True):
                row["rounds"][-1]["revision"] = answer
            done += len(rows)
        return done

    def _told(self, rows: list[Chain], what: str) -> list[str]:
        conversations = [conversation(row, what, self.how) for row in rows]
        return self._send(list(map(self.template.prompt, conversations)))

    def _row(self, row: Prompt) -> Chain:
        principle = draw_principle(self.how.seed, row["id"], 1, list(self.how.principles))
        rounds: list[Round] = [{"round": 1, "principle": principle, "critique": None}]
        return {"id": row["id"], "prompt": row["prompt"], "response": "", "rounds": rounds}

    def _send(self, prompts: Sequence[str]) -> list[str]:
        return list(self._put(prompts) if self.serving.kind == "nemo" else self._posts(prompts))

    def _put(self, prompts: Sequence[str]) -> Iterator[str]:
        """One request of all prompts, as the tutorial sends it."""
        body = {
            "sentences": list(prompts),
            "tokens_to_generate": self.sampling.max_tokens,
            "greedy": True,
            "add_BOS": self.template.add_bos,
            "end_strings": [*self.template.stop, "<|endoftext|>"],
        }
        response = requests.put(f"{self.served.url}/generate", json=body, timeout=600)
        response.raise_for_status()
        for prompt, sentence in zip(prompts, response.json()["sentences"], strict=True):
            yield self._cut(sentence[len(prompt) :])

    def _posts(self, prompts: Sequence[str]) -> Iterator[str]:
        """As many requests at a time as there are prompts, and an end when all are answered."""

        def post(prompt: str) -> str:
            body = {"model": self.name, "prompt": prompt, "temperature": 0}
            body["max_tokens"] = self.sampling.max_tokens
            url = f"{self.served.url}/v1/completions"
            return str(self.session.post(url, json=body, timeout=600).json()["choices"][0]["text"])

        answers = dict(in_flight(post, sorted(set(prompts)), BATCH, threading.Event()))
        return (self._cut(answers[prompt]) for prompt in prompts)

    def _cut(self, text: str) -> str:
        for stop in self.template.stop:
            text = text.split(stop)[0]
        return text.strip()


def _report(rows: list[Record], output: Path | None) -> None:
    print("| server | way | samples/s | ratio | samples of prompts | journal's share |")
    print("|---|---|---:|---:|---:|---:|")
    for row in rows:
        share = "" if row["journal_share"] is None else f"{row['journal_share']:.2%}"
        print(
            f"| {row['server']} | {row['way']} | {row['samples_per_second']:.1f} | "
            f"{row['ratio']:.2f} | {row['samples']} of {row['of_prompts']} | {share} |"
        )
    if output is not None:
        write_json(output, rows)


if __name__ == "__main__":
    cli.run(main)
