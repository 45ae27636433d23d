#!/usr/bin/env python
"""Choose the held-out prompts, harmful and helpful, that every model answers in the evaluation."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.core.errors import fail_if
from cai.evaluation.prompts import prepare_evaluation_prompts
from cai.models.templates import Template
from cai.provenance.manifest import record
from cai.settings.sources import Source


def main() -> None:
    """Read the command line and write the prompts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--red-team", type=cli.existing_file, required=True, help="held-out prompts"
    )
    helpful = parser.add_mutually_exclusive_group(required=True)
    helpful.add_argument(
        "--helpful", type=cli.json_option(Source), help="JSON of a source of prompts"
    )
    helpful.add_argument(
        "--helpful-prompts", type=cli.existing_file, help="test prompts of the helpful preferences"
    )
    parser.add_argument(
        "--template",
        type=cli.json_option(Template),
        help="JSON: what --helpful-prompts is written in",
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--limit", type=int, help="most prompts of each set")
    parser.add_argument("--max-bad-share", type=float, default=0.05)
    options = parser.parse_args()
    fail_if(
        options.helpful_prompts and not options.template,
        "--helpful-prompts needs --template, the template that they are written in",
    )
    ledger = prepare_evaluation_prompts(
        options.red_team,
        options.helpful or (options.helpful_prompts, options.template),
        options.output,
        seed=options.seed,
        limit=options.limit,
        max_bad_share=options.max_bad_share,
    )
    record(options, "output", ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
