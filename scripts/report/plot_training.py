#!/usr/bin/env python
"""Draw training curves, of SFT and the reward model or of a last stage, from their metrics."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.core.errors import fail_if
from cai.figures import drawing

RUNS = {
    "sft": ("SFT", drawing.SFT_PANELS),
    "reward_model": ("reward model", drawing.REWARD_MODEL_PANELS),
    "ppo": ("PPO", drawing.PPO_PANELS),
    "dpo": ("DPO", drawing.DPO_PANELS),
    "best_of_n": ("best of n", drawing.BEST_OF_N_PANELS),
}


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    for run in RUNS:
        parser.add_argument(
            f"--{run.replace('_', '-')}",
            type=cli.existing_file,
            nargs="?",
            help="its .metrics.csv",
        )
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png and .csv are written beside it"
    )
    options = parser.parse_args()
    chosen = [run for run in RUNS if getattr(options, run)]
    fail_if(not chosen, "expected at least one metrics file: --sft, --reward-model, --ppo ...")
    title = f"Training curves: {', '.join(RUNS[run][0] for run in chosen)}"
    parts = [(getattr(options, run), RUNS[run][1]) for run in chosen]
    drawing.draw_curves(title, parts).write(options.output)


if __name__ == "__main__":
    cli.run(main)
