#!/usr/bin/env python
"""Score models' answers with the reward model, through NeMo-Aligner's reward model server.

    score_rewards.py [options] --url URL
    score_rewards.py [options] -- SERVER COMMAND

In the command, FREE_PORT stands for the server's port.
"""

import argparse
from pathlib import Path

from cai.asking.program import parse
from cai.asking.rewards import ToScore, add_reward_model_options, score_answers
from cai.asking.run import Run
from cai.core import cli
from cai.core.errors import fail_if
from cai.files.records import Ledger


def main() -> None:
    """Read the command line and score."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Score each file of answers."""
    fail_if(
        len(options.answers) != len(options.output),
        f"--output: expected {len(options.answers)}, one of each answers file, "
        f"found {len(options.output)}",
    )
    ledgers = []
    with run.reward_model(options) as (model, limit):
        for answers, output in zip(options.answers, options.output, strict=True):
            ledger = Ledger("score_rewards")
            rows = score_answers(
                run.read(answers, ToScore), str(answers), model, options.template, limit, ledger
            )
            ledger.notes["usage"] = model.usage.as_dict()  # of all files up to this one
            run.write(list(ledger.kept(rows)), ledger, output)
            ledgers.append(ledger)
    run.record(options, ledgers)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=cli.existing_file, nargs="+", required=True)
    parser.add_argument(
        "--output", type=Path, nargs="+", required=True, help="one of each answers file"
    )
    add_reward_model_options(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
