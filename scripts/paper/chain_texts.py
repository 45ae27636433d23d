#!/usr/bin/env python
"""The response and the revisions of chains, one record each, as answers that can be scored.

Reads what revise.py writes; writes {"id", "prompt_id", "round", "prompt", "set", "answer",
"finish"}, the round of a first response being 0.
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.figures.chains import texts_of
from cai.files.records import Ledger, read_records, write_jsonl
from cai.provenance.manifest import record
from cai.steps.critique import Chain


def main() -> None:
    """Read the options and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=cli.existing_file, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    ledger = Ledger("chain_texts")
    rows = [text for chain in read_records(options.input, Chain) for text in texts_of(chain)]
    ledger.count_in(len(rows))
    write_jsonl(options.output, ledger.kept(rows))
    ledger.write(options.output)
    record(options, "output", ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
