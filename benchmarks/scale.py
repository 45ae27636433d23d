#!/usr/bin/env python
"""How it scales: the time to plan 1,000 shards; 200,000 records through each data step.

    .envs/controller/bin/python benchmarks/scale.py [--records 200000] [--shards 1000]

The records are made up: prompts of 100 characters, answers of 400. Each step is the program of a
rule, as the rules call it; its time and peak resident memory are the operating system's count.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from cai.core import cli
from cai.core.errors import fail_if
from cai.files.records import Record, record_id, write_json, write_jsonl
from cai.settings.configuration import load_settings

ROOT = Path(__file__).parents[1]

TOKENIZER = "demo/models/instruct/tokenizer.model"
WORDS = ("the neighbour", "wants", "to know", "how a letter", "is opened", "without", "being seen")
LIMIT = ["--tokenizer", TOKENIZER, "--max-tokens", "4096"]


def main() -> None:
    """Make the records, run the steps, plan, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=cli.positive, default=200_000)
    parser.add_argument("--shards", type=cli.positive, default=1000)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    os.chdir(ROOT)
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder, options.records)
        steps = {step: measured(command) for step, command in commands(folder)}
    print(
        f"| step, {options.records:,} records | seconds | peak memory, MB |\n| --- | ---: | ---: |"
    )
    for step, (seconds, memory) in steps.items():
        print(f"| {step} | {seconds:.1f} | {memory:,.0f} |")
    plans = {what: measured(words) for what, words in plan_commands(options.shards)}
    print(f"\n| plan of {options.shards:,} shards | seconds | peak memory, MB |")
    print("| --- | ---: | ---: |")
    for what, (seconds, memory) in plans.items():
        print(f"| {what} | {seconds:.1f} | {memory:,.0f} |")
    if options.output:
        write_json(options.output, {"steps": steps, "plans": plans})


def measured(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak resident MB of a program that must succeed."""
    began = time.perf_counter()
    with open(os.devnull, "w") as quiet, TemporaryDirectory() as folder:
        errors = Path(folder, "errors")
        with open(errors, "w") as stream:
            process = subprocess.Popen(command, stdout=quiet, stderr=stream)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said = errors.read_text()[-1000:]
    fail_if(process.returncode, f"{command[1]} failed: {said}")
    return round(time.perf_counter() - began, 1), round(usage.ru_maxrss / 1024, 1)


def text(number: int, size: int) -> str:
    """A text of about so many characters, which no other number has."""
    words = [WORDS[(number * 7 + i * (number % 5 + 1)) % len(WORDS)] for i in range(size // 6)]
    return f"{number} {' '.join(words)}"


def make_inputs(folder: Path, count: int) -> None:
    """The datasets and intermediate files that the steps read."""
    prompts = [text(number, 100) for number in range(count)]
    rows = list(enumerate(prompts))
    answer = "\n\nHuman: {}\n\nAssistant: {}"
    files: dict[str, Iterable[Record]] = {
        "red_team": ({"transcript": answer.format(p, text(n, 400))} for n, p in rows),
        "dialogues": ({"messages": turns(f"Please {p}", text(n, 400))} for n, p in rows),
        "human": (
            {
                "chosen": answer.format(f"Tell me: {p}", text(n, 400)),
                "rejected": answer.format(f"Tell me: {p}", text(n + count, 400)),
            }
            for n, p in rows
        ),
        "revisions": ({"id": record_id(p), "prompt": p, "revision": text(n, 400)} for n, p in rows),
        "candidates": (
            {
                "id": record_id(p),
                "prompt": p,
                "candidates": [
                    {"temperature": 1.0, "text": text(n + i * count, 400)} for i in range(4)
                ],
            }
            for n, p in rows
        ),
    }
    for name, records in files.items():
        write_jsonl(folder / f"{name}.jsonl", records)


def turns(prompt: str, answer: str) -> list[Record]:
    """A dialogue of one turn."""
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The data steps, in the order in which one reads what another wrote."""
    template = load_settings(["config/config.yaml"]).models.base.template.model_dump_json()
    principle = json.dumps({"id": "one", "preference": "Which is better?"})
    for step, *words in (
        ("red-team prompts", "data/prepare_red_team", "--source", source(folder / "red_team.jsonl"),
         "--train", "train.jsonl", "--test", "test.jsonl", *LIMIT),
        ("helpful dialogues", "data/prepare_helpful_sft", "--source",
         source(folder / "dialogues.jsonl"), "--output", "helpful.jsonl"),
        ("human comparisons", "data/prepare_preferences", source(folder / "human.jsonl"),
         "--template", template, *preference_files("human."), *LIMIT),
        ("SFT set", "sl_cai/build_sl_dataset", "--revisions", "revisions.jsonl", "--helpful",
         "helpful.jsonl", "--train", "sft.jsonl", "--validation", "validation.jsonl", "--template",
         template, *LIMIT),
        ("judging, at random", "rl_cai/judge_candidates", "--judge", '{"kind": "random"}',
         "--principles", principle, "--input", "candidates.jsonl", "--output", "preferences.jsonl"),
        ("comparisons and prompts", "rl_cai/build_preferences",
         "--preferences", "preferences.jsonl", *preference_files("human.", "helpful-"),
         *preference_files("rl."), "--template", template, *LIMIT, "--max-prompt-tokens", "2048"),
        ("evaluation prompts", "evaluation/build_evaluation_prompts", "--red-team", "train.jsonl",
         "--helpful-prompts", "human.train.prompts.jsonl", "--template", template, "--output",
         "prompts.jsonl"),
    ):  # fmt: skip
        program, *arguments = words
        placed = [str(folder / word) if word.endswith(".jsonl") else word for word in arguments]
        yield step, [sys.executable, f"scripts/{program}.py", *placed]


def source(path: Path) -> str:
    """A source's JSON."""
    return json.dumps({"source": str(path)})


def preference_files(name: str, prefix: str = "") -> list[str]:
    """The options of the four files of comparisons and prompts."""
    return [
        word
        for part in ("train", "test")
        for kind in ("prompts", "comparisons")
        for word in (f"--{prefix}{part}-{kind}", f"{name}{part}.{kind}.jsonl")
    ]


def plan_commands(shards: int) -> Iterator[tuple[str, list[str]]]:
    """A dry run of all shards of the demo from nothing, by Snakemake itself and as our plan."""
    results = "results/scale"
    config = ["--config", f"shards={shards}", f"results={results}"]
    words = ["--profile", "profiles/demo", *config, "--", f"{results}/rl_cai.nemo"]
    yield "`snakemake -n`", [sys.executable, "-m", "snakemake", "-n", "-q", "all", *words]
    yield "`scripts/plan.py`", [sys.executable, "scripts/plan.py", *words]


if __name__ == "__main__":
    cli.run(main)
