#!/usr/bin/env python
"""Does the constitution steer? All last stages of the demo, over seeds, and in experiments.

The run of the demo's own seed is make demo's, in results/demo; others are in results/steering.
An experiment shares with the run of its seed what it does not change. What has been run already is
not run again. Prints the held-out behaviour by the world's exact classifier, in percent: once over
the seeds (mean, and range), and once run by run with Wilson intervals over prompts.

    .envs/controller/bin/python benchmarks/steering.py --seeds 1 2 3
    .envs/controller/bin/python benchmarks/steering.py --experiments random_judge
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from cai.files.records import read_jsonl, write_text
from cai.statistics.intervals import proportion
from cai.workflow.experiments import BASE, files

ROOT = Path(__file__).parent.parent
CONFIG = Path("config/demo.yaml")
CONSTITUTION = Path("demo/constitution.yaml")
POLICIES = ["rl_cai", "dpo_cai", "best_of_n"]
MODELS = ["helpful_only", "sl_cai", *POLICIES]
MEASURES = ["covered", "left out", "helpful", "over-refusal"]

Outcomes = dict[str, list[bool]]


class Run(NamedTuple):
    """One run of the workflow: a seed, and what is changed in the demo's configuration."""

    experiment: str
    seed: int

    @property
    def base(self) -> Path:
        """The results folder of the seed's run without a change."""
        demo = yaml.safe_load(CONFIG.read_text())
        own = self.seed == demo["seed"]
        return Path(demo["results"]) if own else Path(f"results/steering/seed-{self.seed}")

    @property
    def folder(self) -> Path:
        """Its own results folder."""
        return self.base if self.experiment == BASE else self.base / "experiments" / self.experiment

    def truth(self, model: str) -> Path:
        """The classified answers of one of its models."""
        return self.folder / f"evaluation/truth/{model}.jsonl"

    def kinds(self) -> set[str]:
        """The kinds of harm that its constitution covers: the demo's principles are named so."""
        own = [] if self.experiment == BASE else files(self.experiment)
        paths = [path for path in own if path.name == "constitution.yaml"] or [CONSTITUTION]
        text = paths[0].read_text()
        return {principle["id"] for principle in yaml.safe_load(text)["principles"]}


def main() -> None:
    """Run what is asked for, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--experiments", nargs="*", default=[], help="of config/experiments, once a seed"
    )
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS, metavar="MODEL")
    parser.add_argument("--table-only", action="store_true", help="show what has been run")
    options = parser.parse_args()
    os.chdir(ROOT)
    runs = [Run(name, seed) for name in [BASE, *options.experiments] for seed in options.seeds]
    if not options.table_only:
        for each in runs:
            make(each, options.models)
    found = {
        (each, model): behaviour(each, model)
        for each in runs
        for model in MODELS
        if each.truth(model).is_file()
    }
    print(over_seeds(found), run_by_run(found), sep="\n\n")


def make(run: Run, models: Sequence[str]) -> None:
    """Run the workflow up to the classified answers of the models."""
    print(f"== {run.experiment}, seed {run.seed}", file=sys.stderr, flush=True)
    overlay = Path(f"results/steering/seed-{run.seed}.yaml")
    changes = {"results": str(run.base), "seed": run.seed, "policies": POLICIES}
    write_text(overlay, yaml.safe_dump(changes))
    snakemake = [sys.executable, "-m", "snakemake", "--profile", "profiles/demo"]
    named = f"experiment={run.experiment}"
    configs = ["--configfile", str(CONFIG), str(overlay), "--config", named]
    targets = [str(run.truth(model)) for model in models]
    subprocess.run([*snakemake, *configs, "--", *targets], check=True)


def behaviour(run: Run, model: str) -> Outcomes:
    """The outcomes of each measure on the held-out prompts."""
    kinds = run.kinds()
    found: Outcomes = {}
    for row in read_jsonl(run.truth(model)):
        if row["set"] == "harmful":
            covered = "covered" if row["category"] in kinds else "left out"
            measures = {covered: row["harmless"], row["category"]: row["harmless"]}
        else:
            measures = {"helpful": row["helpful"], "over-refusal": row["over_refusal"]}
        for name, outcome in measures.items():
            found.setdefault(name, []).append(outcome)
    return found


def over_seeds(found: Mapping[tuple[Run, str], Outcomes]) -> str:
    """A row for each experiment and model: ``98.7 (97.1-99.8)``, mean and range over its seeds."""
    groups: dict[tuple[str, str], list[Outcomes]] = {}
    for (run, model), outcomes in found.items():
        groups.setdefault((run.experiment, model), []).append(outcomes)
    rows = [
        [name, model, str(len(seeds)), *(_mean([each[one] for each in seeds]) for one in MEASURES)]
        for (name, model), seeds in groups.items()
    ]
    return _markdown(["run", "model", "seeds", *MEASURES], rows)


def run_by_run(found: Mapping[tuple[Run, str], Outcomes]) -> str:
    """A row for each run and model, with the kinds of harm: ``97.1 [95.0, 98.4]``."""
    kinds = sorted({name for outcomes in found.values() for name in outcomes} - set(MEASURES))
    rows = [
        [
            f"{run.experiment}, seed {run.seed}",
            model,
            *(_interval(outcomes[one]) for one in MEASURES),
            *(f"{_percent(outcomes[kind]):.0f}" for kind in kinds),
        ]
        for (run, model), outcomes in found.items()
    ]
    return _markdown(["run", "model", *MEASURES, *kinds], rows)


def _mean(seeds: Sequence[Sequence[bool]]) -> str:
    shares = [_percent(outcomes) for outcomes in seeds]
    return f"{sum(shares) / len(shares):.1f} ({min(shares):.1f}-{max(shares):.1f})"


def _interval(outcomes: Sequence[bool]) -> str:
    share = proportion(outcomes)
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _percent(outcomes: Sequence[bool]) -> float:
    return 100 * sum(outcomes) / len(outcomes)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
