"""First responses: the helpful-only model answers each red-team prompt, before any critique.

Reads {"id", "prompt"}, writes {"id", "prompt", "response", "finish"}; finish is "stop" or, for a
response that was cut at the longest answer, "length".
"""

import argparse

from cai.asking.program import (
    add_few_shot_option,
    add_model_options,
    add_sampling_option,
    parse,
    program,
    read_few_shot,
)
from cai.asking.run import Run
from cai.core import cli
from cai.files.records import Ledger, Prompt
from cai.steps.answers import respond


def main() -> None:
    """Read the command line and respond."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Ask the model, write the responses."""
    ledger = Ledger("respond")
    records = run.records(options, Prompt)
    with run.model(options) as model:
        rows = run.spooled(
            respond(
                model,
                records,
                options.sampling,
                options.seed,
                ledger,
                options.keep_unfinished,
                read_few_shot(options.few_shot),
            ),
            options,
        )
        ledger.notes["usage"] = model.client.usage.as_dict()
    run.conclude(rows, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "prompts (data/red_team/train.jsonl)")
    add_sampling_option(parser)
    add_few_shot_option(parser)
    parser.add_argument(
        "--keep-unfinished",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep responses that were cut at max_tokens (default: keep; they can be criticised)",
    )
    add_model_options(parser)
    return parser


if __name__ == "__main__":
    cli.run(main)
