"""Answers of one model to held-out prompts, for evaluation.

Reads {"id", "prompt", "set"}, writes {"id", "prompt", "set", "answer", "finish"}. Unfinished and
empty answers are kept: they are part of what the model does. With --temperatures there are several
answers to a prompt, also with "prompt_id" and "temperature"; their ids are numbered.
"""

import argparse

from cai.asking.program import add_model_options, add_sampling_option, parse, program
from cai.asking.run import Run
from cai.core import cli
from cai.files.records import Ledger
from cai.steps.answers import EvaluationPrompt, evaluated, evaluated_at


def main() -> None:
    """Read the command line and answer."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Ask the model, write the answers."""
    ledger = Ledger("answer")
    records = run.records(options, EvaluationPrompt)
    sampling, seed = options.sampling, options.seed
    with run.model(options) as model:
        if options.temperatures is None:
            answers = evaluated(model, records, sampling, seed, ledger)
        else:
            temperatures = options.temperatures
            answers = evaluated_at(temperatures, model, records, sampling, seed, ledger)
        rows = run.spooled(answers, options)
        ledger.notes["usage"] = model.client.usage.as_dict()
    run.conclude(rows, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "prompts, each with its set, such as harmful or helpful")
    add_sampling_option(parser)
    parser.add_argument(
        "--temperatures",
        type=float,
        nargs="+",
        metavar="T",
        help="temperature of each of several answers to a prompt, such as 1 1 1 0; 0 is greedy "
        "(default: one answer, as --sampling says)",
    )
    add_model_options(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
