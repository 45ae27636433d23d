#!/usr/bin/env python
"""Score models' answers with the reward model, through NeMo-Aligner's reward model server.

    score_rewards.py [options] --url URL
    score_rewards.py [options] -- SERVER COMMAND

In the command, FREE_PORT stands for the server's port.
"""

import argparse
from pathlib import Path

from cai import cli
from cai.errors import fail_if
from cai.evaluation.rewards import add_reward_model_options, opened_reward_model, score_answers
from cai.generation.program import parse


def main() -> None:
    """Read the command line and score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=cli.existing_file, nargs="+", required=True)
    parser.add_argument(
        "--output", type=Path, nargs="+", required=True, help="one of each answers file"
    )
    add_reward_model_options(parser)
    options = parse(parser)
    fail_if(
        len(options.answers) != len(options.output),
        f"--output: expected {len(options.answers)}, one of each answers file, "
        f"found {len(options.output)}",
    )
    with opened_reward_model(options) as (reward_model, limit):
        for answers, output in zip(options.answers, options.output, strict=True):
            score_answers(
                answers, output, reward_model=reward_model, template=options.template, length=limit
            )


if __name__ == "__main__":
    cli.run(main)
