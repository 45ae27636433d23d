"""A template, records, and the programs of the steps, run as users run them."""

import json
import subprocess
import sys
from pathlib import Path

from tests import programs
from tests.project import program

from cai.files.records import read_json, read_jsonl, record_id
from cai.models.templates import Template

ROOT = Path(__file__).parents[2]
INSTRUCT = Template(
    user="[INST] {content} [/INST]",
    assistant=" {content}",
    between=" ",
    close="</s>",
    stop=["</s>", "[INST]"],
    add_bos=True,
)
PRINCIPLES = {
    name: {"id": name, "critique": f"Criticise {name}.", "revision": f"Revise for {name}."}
    for name in ("honesty", "kindness", "privacy", "property")
}


class Step:
    """A program of ``scripts/`` with its files in one folder."""

    def __init__(self, folder: Path, name: str, url: str | None) -> None:
        self.folder, self.program, self.url = folder, name, url
        self.input, self.output = folder / f"{name}.in.jsonl", folder / f"{name}.jsonl"
        self.journal = folder / f"{name}.journal"
        self.model = folder / "model.nemo"
        self.model.write_text("weights")

    def command(self, *options: object) -> list[str]:
        served = ["--url", self.url] if self.url else []
        return [
            *(sys.executable, program(self.program)),
            *("--input", str(self.input), "--output", str(self.output), "--seed", "1"),
            *("--model", str(self.model), "--template", INSTRUCT.model_dump_json()),
            *("--journal", str(self.journal), *served),
            *map(str, options),
        ]

    def run(self, *options: object) -> subprocess.CompletedProcess:
        """Run the program to its end, whatever that is."""
        return programs.run(*self.command(*options)[1:])

    def run_apart(self, *options: object) -> subprocess.CompletedProcess:
        """As :meth:`run`, under a Python of its own, whose command line all processes see."""
        return subprocess.run(self.command(*options), cwd=ROOT, capture_output=True, text=True)

    def rows(self, *options: object) -> list[dict]:
        """Run the program, which must succeed; returns its output."""
        done = self.run(*options)
        assert done.returncode == 0, done.stderr
        ledger = self.ledger
        assert ledger["in"] == ledger["out"] + sum(ledger["dropped"].values())
        assert len(ledger["rejected"]) == sum(ledger["dropped"].values())
        rows = list(read_jsonl(self.output))
        assert ledger["out"] == len(rows)
        return rows

    @property
    def ledger(self) -> dict:
        return read_json(self.output.with_suffix(".ledger.json"))

    @property
    def report(self) -> dict:
        return read_json(self.output.with_suffix(".report.json"))


def prompts(count: int) -> list[dict]:
    """Red-team prompts."""
    texts = [f"How do I trick neighbour {number}?" for number in range(count)]
    return [{"id": record_id(text), "prompt": text, "source": "test"} for text in texts]


def responses(count: int) -> list[dict]:
    """First responses to :func:`prompts`."""
    return [
        {**row, "response": f"Reply to {row['id']}.", "finish": "stop"} for row in prompts(count)
    ]


def candidates(
    count: int, texts: tuple[str, ...] = ("No.", "Sure.", "Why not?", "Never.")
) -> list[dict]:
    """Candidates for :func:`prompts`, the first of them the coldest."""
    found = [{"temperature": 0.5 + i / 2, "text": text} for i, text in enumerate(texts)]
    return [
        {"id": row["id"], "prompt": row["prompt"], "candidates": found} for row in prompts(count)
    ]


def principle_options(principles: dict[str, dict]) -> list[str]:
    """The option ``--principles`` as the rules write it."""
    return ["--principles", *(json.dumps(texts) for texts in principles.values())]


def preferences(count: int = 4) -> dict[str, dict]:
    """Principles of the RL stage."""
    names = list(PRINCIPLES)[:count]
    return {name: {"id": name, "preference": f"Which has more {name}?"} for name in names}
