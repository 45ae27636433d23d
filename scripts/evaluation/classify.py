#!/usr/bin/env python
"""Classify a model's answers with a Python file's ``score(prompt, answer, finished)``."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.evaluation.classifier import classify
from cai.provenance.manifest import record


def main() -> None:
    """Read the command line and classify."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=cli.existing_file, required=True)
    parser.add_argument("--classifier", type=Path, required=True, help="Python file with score()")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    ledger = classify(options.answers, options.classifier, options.output)
    record(options, "output", ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
