"""Turn the reward model's comparisons into the data of DPO: prompts, responses and rewards."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.data.dpo_dataset import DpoFiles, DpoOptions, build_dpo_dataset
from cai.models.templates import Template
from cai.models.tokens import Tokenizer
from cai.provenance.manifest import record


def main() -> None:
    """Read the options and make the two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    for part in ("train", "test"):
        parser.add_argument(
            f"--{part}-comparisons", type=cli.existing_file, required=True, help=".jsonl"
        )
    parser.add_argument("--preferences", type=Path, nargs="+", required=True, help="all shards")
    parser.add_argument("--train", type=Path, required=True, help="output")
    parser.add_argument("--test", type=Path, required=True, help="output")
    parser.add_argument("--template", type=cli.json_option(Template), required=True, help="JSON")
    parser.add_argument("--tokenizer", type=Path, help=".model file or .nemo archive")
    cli.add_json_option(parser, "--options", DpoOptions, "what becomes of a comparison")
    options = parser.parse_args()
    ledger = build_dpo_dataset(
        DpoFiles(options.train_comparisons, options.test_comparisons),
        options.preferences,
        DpoFiles(options.train, options.test),
        template=options.template,
        tokenizer=Tokenizer(options.tokenizer) if options.tokenizer else None,
        options=options.options,
    )
    record(options, "train", "test", ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
