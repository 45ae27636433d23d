"""Samples a second of the supervised stage: the tutorial's way of asking, and ours.

    python benchmarks/tutorial.py --configfile config/demo.yaml

A sample is a response, its critique and its revision. The tutorial's client sends 32 prompts and
waits, then their critique requests and waits, then their revision requests; a last batch that is
not full it drops. Ours answers all prompts, then criticises and revises each, as the workflow's two
jobs do. Both ask the same questions, greedily, of the same server. Servers of other kinds than
NeMo's take one prompt a request, so that a batch is 32 requests at a time; there a third way is to
flood the server with all questions at once, which nobody can ask before the answers are known: what
the server can do at most. The ways take turns in one run; each is given by its median.

`--servers engine` asks the model of a GPU's engine (engine_model.py) instead, with the few-shot
dialogues and principles of the configuration and prompts made of their words. It says itself how
long it took, and how long it would have taken had each job's questions all been there at once.
"""

import argparse
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import requests

from cai.asking.chat_model import ChatModel
from cai.asking.journal.entries import Journal
from cai.asking.run import client_of, served_by
from cai.asking.serving import Served
from cai.asking.transport.http import direct_session
from cai.asking.transport.pool import in_flight
from cai.core import cli
from cai.core.errors import fail_if
from cai.files.records import (
    Ledger,
    Prompt,
    Record,
    read_records,
    record_id,
    write_json,
    write_jsonl,
)
from cai.models.own_template import as_option, resolved
from cai.models.sampling import Sampling
from cai.models.templates import Template, single_turn
from cai.models.tokens import Tokenizer
from cai.nemo import programs
from cai.running.launcher import Launcher, filled
from cai.settings.configuration import Settings, load_settings
from cai.settings.constitution import draw_principle, for_stage, load_constitution, load_few_shot
from cai.settings.model_servers import ClientSettings, Serving
from cai.steps.answers import Response, respond
from cai.steps.critique import Chain, Revising, Round, conversation, revise

ROOT = Path(__file__).parents[1]

BATCH = 32  # prompts that the tutorial's client sends at a time, if it is told nothing else
OURS = 128  # that we send to NeMo's server
ENGINE = "an engine's model"
FLOOD = 256  # requests at a time of who floods a server
Way = Callable[[list[Prompt]], int]


class Kind(NamedTuple):
    """A kind of server: its name in tables, how it is asked, its command if it is not NeMo's."""

    name: str
    serving: Serving
    command: Sequence[str] = ()


KINDS = {
    "nemo": Kind("NeMo's", Serving()),
    "transformers": Kind(
        "transformers serve",
        Serving(kind="openai", prompts="text", extensions=False, in_flight=128),
        ("envs/serve-cpu/serve", "MODEL", "FREE_PORT"),
    ),
    "vllm": Kind(
        "vLLM",
        Serving(kind="openai"),
        ("envs/vllm-cpu/serve", "MODEL", "FREE_PORT", "--max-model-len", "CONTEXT"),
    ),
    "engine": Kind(
        ENGINE,
        Serving(kind="openai"),
        (sys.executable, "benchmarks/engine_model.py", "--port", "FREE_PORT", "--speed", "SPEED"),
    ),
}


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
    options.model = options.model or results / "models/instruct.nemo"
    rows = []
    for kind in map(KINDS.__getitem__, options.servers):
        with (
            TemporaryDirectory() as folder,
            _serve(kind, settings, options, Path(folder)) as served,
        ):
            prompts = _prompts(kind, options, results)[: options.count]
            rows += Bench(kind, served, settings, Path(folder), options).measure(prompts)
            print(f"{kind.name}: started in {served.start_seconds:.0f} s")
    _report(rows, options.output)


def _prompts(kind: Kind, options: argparse.Namespace, results: Path) -> list[Prompt]:
    if options.prompts or kind.name != ENGINE:
        path = options.prompts or results / "data/red_team/train.jsonl"
        return list(read_records(path, Prompt))
    words = sorted(set(re.findall("[a-z]+", Path("config/few_shot.yaml").read_text())))
    draws = Random(1)
    texts = (
        " ".join(draws.choices(words, k=draws.randint(10, 50))) + "?" for _ in range(options.count)
    )
    return [{"id": record_id(text), "prompt": text} for text in texts]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", nargs="+", default=[], help="files over config/config.yaml")
    parser.add_argument("--model", type=Path, help="default: models/instruct.nemo of the results")
    parser.add_argument("--prompts", type=Path, help="JSONL with prompt; default: red-team prompts")
    parser.add_argument("--count", type=int, default=330, help="prompts (default: 330)")
    parser.add_argument("--max-tokens", type=int, default=44, help="longest answer (default: 44)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way (default: 3)")
    parser.add_argument(
        "--servers", nargs="+", choices=[*KINDS], default=["nemo", "transformers", "vllm"]
    )
    parser.add_argument("--batched", type=int, help="prompts of the tutorial's way, if fewer")
    parser.add_argument("--speed", type=float, default=1.0, help="of the engine's model")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    return parser.parse_args()


def _serve(kind: Kind, settings: Settings, options: argparse.Namespace, folder: Path) -> Served:
    if not kind.command:
        command = [*programs.server(settings, "instruct"), f"gpt_model_file={options.model}"]
        return served_by(kind.serving, Launcher().sized(command), None, folder / "log")
    words = {"MODEL": str(folder / "exported"), "CONTEXT": str(settings.lengths.context)}
    command = filled(kind.command, words | {"SPEED": str(options.speed)})
    if kind.name != ENGINE:
        program = [settings.nemo.python, "scripts/convert_nemo_to_hf.py"]
        subprocess.run([*program, options.model, words["MODEL"]], check=True)
    return served_by(kind.serving, command, None, folder / "log")


class Bench:
    """The ways of asking one server."""

    def __init__(
        self,
        kind: Kind,
        served: Served,
        settings: Settings,
        folder: Path,
        options: argparse.Namespace,
    ) -> None:
        self.kind, self.serving, self.served = kind, kind.serving, served
        self.folder, self.options, self.model = folder, options, options.model
        self.tokenizer = Tokenizer(self.model)
        self.template: Template = resolved(settings.models.instruct.template, self.model)
        self.sampling = Sampling(max_tokens=options.max_tokens, min_tokens=0, greedy=True)
        principles = for_stage(load_constitution(settings.constitution), "supervised")
        texts = {chosen["id"]: chosen for chosen in principles}
        few_shot = load_few_shot(settings.few_shot) if settings.few_shot else []
        self.how = Revising(texts, few_shot, 1, self.sampling, self.sampling, settings.seed)
        self.settings = settings
        self.journal_share: list[float] = []
        self.asked: list[str] = []  # by the last batches, for the flood
        self.looks: list[dict[str, float]] = []  # what the engine's model says of each job
        self.session = direct_session(FLOOD)
        self.name = ""

    def measure(self, prompts: list[Prompt]) -> list[Record]:
        """A row for each way: samples a second, and what was left out."""
        self._warm_up(prompts)
        sizes = {BATCH: "the tutorial's way, batches of 32"}
        if self.serving.kind == "nemo":
            sizes[OURS] = f"the tutorial's way, batches of {OURS}"
        ways: dict[str, Way] = {
            name: partial(self.tutorial, size=size) for size, name in sizes.items()
        }
        ways |= {
            "ours, the journal in memory": self.without_a_file,
            "ours": self.ours,
            "ours, as two programs": self.as_programs,
        }
        if self.serving.kind == "openai" and self.kind.name != ENGINE:
            ways["flooded"] = self.flood
        rates: dict[str, list[float]] = {way: [] for way in ways}
        done: dict[str, int] = {}
        looks: dict[str, list[dict[str, float]]] = {}
        for _ in range(self.options.rounds):
            for way, ask in ways.items():
                started, used = time.perf_counter(), time.process_time()
                done[way] = ask(prompts)
                rates[way].append(done[way] / (time.perf_counter() - started))
                self.looks.append({"processor_seconds": time.process_time() - used})
                looks[way], self.looks = self.looks, []
        first = median(rates[sizes[BATCH]])
        return [
            {
                "server": self.kind.name,
                "way": way,
                "samples_per_second": median(values),
                "all_rounds": values,
                "ratio": median(values) / first,
                "samples": done[way],
                "of_prompts": len(prompts),
                "journal_share": median(self.journal_share) if way == "ours" else None,
                "jobs": looks[way],
            }
            for way, values in rates.items()
        ]

    def _warm_up(self, prompts: list[Prompt]) -> None:
        if self.serving.kind == "openai":
            listed = self.session.get(self.served.url + "/v1/models", timeout=60).json()
            self.name = listed["data"][0]["id"]
        self._send([self.template.prompt(single_turn(row["prompt"])) for row in prompts[:BATCH]])
        self._look()
        self.looks = []

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

    def as_programs(self, prompts: list[Prompt]) -> int:
        """The programs of the workflow's two jobs, from their start to their end."""
        principles = for_stage(load_constitution(self.settings.constitution), "supervised")
        few_shot = ["--few-shot", self.settings.few_shot] if self.settings.few_shot else []
        sampling = self.sampling.model_dump_json()
        with TemporaryDirectory(dir=self.folder) as folder:
            files = [f"{folder}/{name}.jsonl" for name in ("prompts", "responses", "revisions")]
            write_jsonl(Path(files[0]), prompts)
            self._run("respond", files[:2], ["--sampling", sampling])
            self._look()
            options = ["--critique-sampling", sampling, "--revision-sampling", sampling]
            options += ["--principles", *map(json.dumps, principles)]
            self._run("revise", files[1:], [*options, *few_shot])
            self._look()
            return sum(1 for _ in read_records(Path(files[1]), Response))

    def _run(self, step: str, files: Sequence[str], options: Sequence[str]) -> None:
        command = [sys.executable, f"scripts/sl_cai/{step}.py", "--seed", str(self.how.seed)]
        command += ["--input", files[0], "--output", files[1], "--journal", files[1] + ".journal"]
        template = as_option(self.settings.models.instruct.template)
        command += ["--model", str(self.model), "--template", template, "--max-bad-share", "1"]
        command += ["--serving", self.serving.model_dump_json(), "--url", self.served.url]
        done = subprocess.run([*command, *options], stderr=subprocess.PIPE, text=True)
        fail_if(done.returncode, f"{command[1]}: {done.stderr}")

    def _steps(self, prompts: list[Prompt], journal: Journal) -> int:
        asked = ClientSettings()
        client = client_of(self.serving, self.served, journal, "m", asked, self.tokenizer)
        model = ChatModel(client, self.template)
        seed = self.how.seed
        answered = list(respond(model, prompts, self.sampling, seed, Ledger("respond")))
        self._look()
        for _ in revise(model, answered, self.how, Ledger("revise")):
            pass  # a revision that ran into its limit is dropped after it was asked for, so:
        self._look()
        return len(answered)

    def _look(self) -> None:
        """Ask the engine's model what it has done since the last look."""
        if self.kind.name == ENGINE:
            self.looks.append(self.session.get(f"{self.served.url}/run", timeout=60).json())

    def flood(self, prompts: list[Prompt]) -> int:
        """All that the last batches have asked, at once."""
        self._post_all(self.asked, FLOOD)
        return len(self.asked) // 3

    def tutorial(self, prompts: list[Prompt], size: int) -> int:
        """In batches: each is answered, criticised and revised before the next is begun."""
        done = 0
        self.asked = []
        prompts = prompts[: self.options.batched]
        for start in range(0, len(prompts) - size + 1, size):
            rows = [self._row(row) for row in prompts[start : start + size]]
            answers = self._send([self.template.prompt(single_turn(row["prompt"])) for row in rows])
            for row, answer in zip(rows, answers, strict=True):
                row["response"] = answer
            for row, answer in zip(rows, self._told(rows, "critique"), strict=True):
                row["rounds"][-1]["critique"] = answer
            for row, answer in zip(rows, self._told(rows, "revision"), strict=True):
                row["rounds"][-1]["revision"] = answer
            done += len(rows)
        self._look()
        return done

    def _told(self, rows: list[Chain], what: str) -> list[str]:
        conversations = [conversation(row, what, self.how) for row in rows]
        return self._send(list(map(self.template.prompt, conversations)))

    def _row(self, row: Prompt) -> Chain:
        principle = draw_principle(self.how.seed, row["id"], 1, list(self.how.principles))
        rounds: list[Round] = [{"round": 1, "principle": principle, "critique": None}]
        return {"id": row["id"], "prompt": row["prompt"], "response": "", "rounds": rounds}

    def _send(self, prompts: Sequence[str]) -> list[str]:
        self.asked += prompts
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
        answers = self._post_all(prompts, len(prompts))
        return (self._cut(answers[prompt]) for prompt in prompts)

    def _post_all(self, prompts: Sequence[str], calls: int) -> dict[str, str]:
        def post(prompt: str) -> str:
            body = {"model": self.name, "prompt": prompt, "temperature": 0}
            body |= {"max_tokens": self.sampling.max_tokens, "stop": self.template.stop}
            if self.kind.name == ENGINE:
                body["prompt"] = self.tokenizer.encode(prompt, add_bos=self.template.add_bos)
            url = f"{self.served.url}/v1/completions"
            return str(self.session.post(url, json=body, timeout=600).json()["choices"][0]["text"])

        return dict(in_flight(post, sorted(set(prompts)), calls, threading.Event()))

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
