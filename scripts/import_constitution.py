"""Read published constitutions and few-shot dialogues (JSON) into this project's YAML files."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.core.errors import fail_if
from cai.files.records import write_text
from cai.settings.published import (
    constitution_yaml,
    few_shot_yaml,
    read_comparison_principles,
    read_critique_instructions,
    read_few_shot,
)


def main() -> None:
    """Read the options and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--critiques", type=Path, help="critique and revision instructions")
    parser.add_argument("--comparisons", type=Path, help="list of principles to compare by")
    parser.add_argument("--constitution", type=Path, help="output, of the two above")
    parser.add_argument("--samples", type=Path, help="few-shot dialogues")
    parser.add_argument("--few-shot", type=Path, help="output, of the samples")
    options = parser.parse_args()
    principles = [
        *(read_critique_instructions(options.critiques) if options.critiques else []),
        *(read_comparison_principles(options.comparisons) if options.comparisons else []),
    ]
    fail_if(
        bool(principles) != bool(options.constitution),
        "options --critiques and --comparisons go with --constitution, the file to write",
    )
    fail_if(
        bool(options.samples) != bool(options.few_shot),
        "options --samples and --few-shot, the file to write, go together",
    )
    fail_if(not principles and not options.samples, "nothing to read; see --help")
    if principles:
        write_text(options.constitution, constitution_yaml(principles))
    if options.samples:
        write_text(options.few_shot, few_shot_yaml(read_few_shot(options.samples)))


if __name__ == "__main__":
    cli.run(main)
