"""Blend the revisions with helpful dialogues into the SFT set, train and validation."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.data.sl_dataset import SlOptions, build_sl_dataset
from cai.data.splits import HeldOut
from cai.models.templates import Template
from cai.models.tokens import LengthLimit
from cai.nemo.programs import check_tokenizer
from cai.provenance.manifest import record


def main() -> None:
    """Read the options and make the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revisions", type=Path, nargs="+", required=True, help="all shards")
    parser.add_argument("--helpful", type=Path, required=True, help="helpful_sft.jsonl")
    HeldOut.add_options(parser)
    parser.add_argument("--train", type=Path, required=True, help="output")
    parser.add_argument("--validation", type=Path, required=True, help="output")
    parser.add_argument("--template", type=cli.json_option(Template), required=True, help="JSON")
    LengthLimit.add_options(parser, "dialogue")
    parser.add_argument(
        "--options", type=cli.json_option(SlOptions), default=SlOptions(), help="JSON"
    )
    options = parser.parse_args()
    length = LengthLimit.from_options(options, add_bos=options.template.add_bos)
    if length.tokenizer is not None:
        check_tokenizer(options.template, length.tokenizer, str(options.tokenizer))
    ledger = build_sl_dataset(
        options.revisions,
        options.helpful,
        options.train,
        options.validation,
        template=options.template,
        length=length,
        options=options.options,
        excluded=HeldOut.from_options(options),
    )
    record(options, "train", "validation", ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
