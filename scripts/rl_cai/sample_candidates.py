"""Candidates: the SL-CAI model answers each prompt several times, for a judge to choose among.

Reads {"id", "prompt"}, writes {"id", "prompt", "candidates": [{"temperature", "text"}]}: finished
and different answers only, at least two of them.
"""

import argparse

from cai.asking.program import add_model_options, add_sampling_option, parse, program
from cai.asking.run import Run
from cai.core import cli
from cai.files.records import Ledger, Prompt
from cai.steps.candidates import sample_candidates


def main() -> None:
    """Read the command line and sample."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Sample, write the candidates."""
    ledger = Ledger("sample_candidates")
    records = run.records(options, Prompt)
    with run.model(options) as model:
        rows = run.spooled(
            sample_candidates(
                model, records, options.temperatures, options.sampling, options.seed, ledger
            ),
            options,
        )
        ledger.notes["usage"] = model.client.usage.as_dict()
    run.conclude(rows, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "prompts (data/red_team/train.jsonl)")
    parser.add_argument(
        "--temperatures",
        type=float,
        nargs="+",
        required=True,
        metavar="T",
        help="sampling temperature of each candidate, such as 1 1 1 1",
    )
    add_sampling_option(parser, "max_tokens, top_k, top_p ...; its temperature is not used")
    add_model_options(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
