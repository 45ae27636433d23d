#!/usr/bin/env python
"""What an edit of one principle of 16 costs: generation again, against the first run's.

    .envs/controller/bin/python benchmarks/edit.py          (after make demo)

A constitution of 16 principles is drawn from the sentences that the demo's models have read. All
red-team prompts are answered, critiqued and revised by it, and the demo's candidates are judged by
it, with the programs of the rules and NeMo's own server. Then one principle is given other texts,
and the same commands run again. Answers are counted by the ledgers, seconds by the jobs themselves.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from itertools import count, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from cai.asking.run import cost_path
from cai.core import cli
from cai.core.errors import fail_if
from cai.files.records import Record, ledger_path, read_json, write_json
from cai.models.own_template import as_option
from cai.settings.configuration import Settings, load_settings
from cai.workflow import servers

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "demo"))

import principles  # noqa: E402  # the demo's sentences
import world  # noqa: E402

PRINCIPLES = 16
ROLES: tuple[principles.Role, ...] = ("critique", "revision", "preference")


class Taken(NamedTuple):
    """What a step took: answers asked for, seconds of the asking, seconds of the whole job."""

    answers: int
    asking: float
    seconds: float


def main() -> None:
    """Run the steps twice, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    os.chdir(ROOT)
    settings = load_settings(["config/config.yaml", "config/demo.yaml"])
    fail_if(
        not Path(settings.results, "rl_cai/candidates/0.jsonl").is_file(),
        f"{settings.results}: has no candidates; run make demo first",
    )
    *first, other = constitution(PRINCIPLES + 1)
    edited = [{**other, "id": first[0]["id"]}, *first[1:]]
    runs = (("first run", first), ("one edited", edited))
    with TemporaryDirectory() as folder:
        taken = {what: steps(settings, Path(folder), chosen) for what, chosen in runs}
    print(table(taken))
    if options.output:
        write_json(options.output, taken)


def constitution(number: int) -> list[dict[str, str]]:
    """So many principles, no text of which occurs twice."""
    rng = random.Random(0)
    found: list[dict[str, str]] = []
    seen: set[str] = set()
    for kind in islice(cycle(world.CATEGORIES), number):
        texts: dict[str, str] = {}
        for role in ROLES:
            drawn = (principles.draw(role, frozenset([kind]), 1, rng).text for _ in count())
            texts[role] = next(text for text in drawn if text not in seen)
        seen.update(texts.values())
        found.append({"id": f"principle-{len(found):02}", **texts})
    return found


def steps(settings: Settings, folder: Path, chosen: list[Record]) -> dict[str, Taken]:
    """Responses, revisions and judging of one constitution, with the folder's journals."""
    results = Path(settings.results)
    supervised, judge = settings.supervised, settings.preferences.judges.logprob.model_dump_json()
    responses = folder / "respond.jsonl"
    texts = {
        stage: [json.dumps({name: p[name] for name in ("id", *names)}) for p in chosen]
        for stage, names in (
            ("revise", ("critique", "revision")),
            ("judge", ("preference",)),
        )
    }
    return {
        "responses": take(
            settings, folder, "sl_cai/respond", results / "data/red_team/train.jsonl",
            "--sampling", supervised.response.model_dump_json(),
        ),
        "critiques and revisions": take(
            settings, folder, "sl_cai/revise", responses, "--rounds", "1",
            "--critique-sampling", supervised.critique.model_dump_json(),
            "--revision-sampling", supervised.revision.model_dump_json(),
            "--principles", *texts["revise"],
        ),
        "judging": take(
            settings, folder, "rl_cai/judge_candidates", results / "rl_cai/candidates/0.jsonl",
            "--judge", judge, "--principles", *texts["judge"],
        ),
    }  # fmt: skip


def take(settings: Settings, folder: Path, program: str, source: Path, *options: str) -> Taken:
    """Run a step's program, which must succeed."""
    model = f"{settings.results}/models/instruct.nemo"
    name = Path(program).name
    output, journal = folder / f"{name}.jsonl", folder / f"{name}.journal.jsonl"
    command = [
        sys.executable, f"scripts/{program}.py", "--input", source, "--output", output,
        "--seed", settings.seed, "--model", model, "--journal", journal,
        "--template", as_option(settings.models.instruct.template),
        "--client", settings.client.model_dump_json(), *options,
        "--", *servers.command(settings, "instruct"),
    ]  # fmt: skip
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    usage = read_json(ledger_path(output))["notes"]["usage"]
    cost = read_json(cost_path(journal))[-1]
    asking = cost["seconds"] - cost["start_seconds"]
    return Taken(usage["questions"] - usage["reused"], round(asking, 1), cost["seconds"])


def _sum(run: dict[str, Taken]) -> Taken:
    answers, asking, seconds = zip(*run.values(), strict=True)
    return Taken(sum(answers), sum(asking), sum(seconds))


def table(taken: dict[str, dict[str, Taken]]) -> str:
    """A Markdown table: both runs of each step, and the share of the second."""
    first, edited = taken.values()
    rows = [(step, first[step], edited[step]) for step in first]
    rows.append(("all", _sum(first), _sum(edited)))
    lines = [
        "| step | answers | after the edit | share | asking, s | after the edit, s | share |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for step, one, two in rows:
        answers = f"{one.answers:,} | {two.answers:,} | {two.answers / one.answers:.1%}"
        seconds = f"{one.asking:.1f} | {two.asking:.1f} | {two.asking / one.asking:.1%}"
        lines.append(f"| {step} | {answers} | {seconds} |")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
