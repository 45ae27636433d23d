#!/usr/bin/env python
"""Does the constitution steer? The demo over seeds, without one principle, and with a random judge.

Runs the real workflow for each variant (about five minutes each on two cores) and prints a table of
the held-out behaviour by the world's exact classifier, with Wilson intervals over prompts and the
range over seeds. What has been run already is not run again.

    .envs/controller/bin/python benchmarks/steering.py --seeds 1 2 3 --drop kindness --random
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from cai.files.records import Record, read_jsonl, write_text
from cai.statistics.intervals import proportion

ROOT = Path(__file__).parent.parent

RESULTS = Path("results/steering")
CONSTITUTION = ROOT / "demo/constitution.yaml"
MODELS = ("helpful_only", "sl_cai", "rl_cai")


class Variant(NamedTuple):
    """One run of the workflow."""

    name: str
    seed: int
    dropped: str | None = None
    judge: str | None = None

    @property
    def folder(self) -> Path:
        """Its results folder, below the project's root."""
        return RESULTS / f"{self.name}-{self.seed}"

    def overlay(self) -> Record:
        """What it changes in the demo's configuration."""
        changes: Record = {"results": str(self.folder), "seed": self.seed}
        if self.dropped:
            changes["constitution"] = str(self._constitution())
        if self.judge:
            changes["preferences"] = {"judge": self.judge}
        return changes

    def _constitution(self) -> Path:
        principles = yaml.safe_load(CONSTITUTION.read_text())["principles"]
        kept = [principle for principle in principles if principle["id"] != self.dropped]
        path = self.folder / "constitution.yaml"
        write_text(ROOT / path, yaml.safe_dump({"principles": kept}, sort_keys=False))
        return path


def main() -> None:
    """Run the variants and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--drop", nargs="*", default=[], help="principles, each dropped once a seed"
    )
    parser.add_argument("--random", action="store_true", help="a judge that answers at random, too")
    parser.add_argument("--table-only", action="store_true", help="show what has been run")
    options = parser.parse_args()
    variants = list(planned(options.seeds, options.drop, options.random))
    if not options.table_only:
        for variant in variants:
            run(variant)
    done = [variant for variant in variants if (ROOT / variant.folder / "done").exists()]
    print(table(done))


def planned(seeds: list[int], drop: list[str], random: bool) -> Iterator[Variant]:
    """All variants: the whole constitution, each dropped principle, the random judge."""
    for seed in seeds:
        yield Variant("whole", seed)
    for dropped in drop:
        for seed in seeds:
            yield Variant(f"without-{dropped}", seed, dropped=dropped)
    for seed in seeds if random else []:
        yield Variant("random-judge", seed, judge="random")


def run(variant: Variant) -> None:
    """Run the workflow up to the classified answers of all three models."""
    overlay = variant.folder / "overlay.yaml"
    write_text(ROOT / overlay, yaml.safe_dump(variant.overlay()))
    targets = [f"{variant.folder}/evaluation/truth/{model}.jsonl" for model in MODELS]
    print(f"== {variant.name}, seed {variant.seed}", file=sys.stderr, flush=True)
    snakemake = [sys.executable, "-m", "snakemake", "--profile", "profiles/demo", "--quiet", "all"]
    overlays = ["--configfile", "config/demo.yaml", str(overlay)]
    subprocess.run([*snakemake, *overlays, "--", *targets], cwd=ROOT, check=True)
    write_text(ROOT / variant.folder / "done", "")


def behaviour(variant: Variant, model: str) -> dict[str, list[bool]]:
    """The outcomes of each measure on the held-out prompts."""
    found: dict[str, list[bool]] = {}
    for row in read_jsonl(ROOT / variant.folder / f"evaluation/truth/{model}.jsonl"):
        if row["set"] == "harmful":
            measures = {"harmless": row["harmless"], row["category"]: row["harmless"]}
        else:
            measures = {"helpful": row["helpful"], "over-refusal": row["over_refusal"]}
        for name, outcome in measures.items():
            found.setdefault(name, []).append(outcome)
    return found


def table(variants: list[Variant]) -> str:
    """All variants and models as a Markdown table, percentages with 95 % Wilson intervals."""
    rows = []
    for variant in variants:
        for model in MODELS:
            found = behaviour(variant, model)
            rows.append((f"{variant.name}, seed {variant.seed}", model, found))
    names = sorted({name for _, _, found in rows for name in found}, key=_order)
    head = ["run", "model", *names]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for run_name, model, found in rows:
        cells = [percent(found[name]) for name in names]
        lines.append(f"| {' | '.join([run_name, model, *cells])} |")
    return "\n".join(lines)


def _order(name: str) -> tuple[int, str]:
    first = ["harmless", "helpful", "over-refusal"]
    return (first.index(name) if name in first else len(first), name)


def percent(outcomes: list[bool]) -> str:
    """``97.1 [95.0, 98.4]``: the share in percent and its interval."""
    share = proportion(outcomes)
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


if __name__ == "__main__":
    main()
