"""Blend AI comparisons with human ones into the data of the reward model and of PPO."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.data.comparisons import PreferenceFiles
from cai.data.rl_dataset import RlOptions, build_comparisons, build_prompts
from cai.models.templates import Template
from cai.models.tokens import LengthLimit
from cai.provenance.manifest import record


def main() -> None:
    """Read the options and make the four files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preferences", type=Path, nargs="+", required=True, help="all shards")
    PreferenceFiles.add_options(parser, "helpful-")
    PreferenceFiles.add_options(parser)
    parser.add_argument("--template", type=cli.json_option(Template), required=True, help="JSON")
    LengthLimit.add_options(parser, "comparison (data.seq_length)")
    parser.add_argument("--max-prompt-tokens", type=int, help="longest prompt that PPO takes")
    parser.add_argument(
        "--options", type=cli.json_option(RlOptions), default=RlOptions(), help="JSON"
    )
    options = parser.parse_args()
    steps = ((build_prompts, "max_prompt_tokens"), (build_comparisons, "max_tokens"))
    ledgers = [
        build(
            options.preferences,
            PreferenceFiles.from_options(options, "helpful_"),
            PreferenceFiles.from_options(options),
            template=options.template,
            length=LengthLimit.from_options(options, add_bos=options.template.add_bos, most=most),
            options=options.options,
        )
        for build, most in steps
    ]
    record(options, *PreferenceFiles.names(), ledger=[*ledgers, *ledgers])


if __name__ == "__main__":
    cli.run(main)
