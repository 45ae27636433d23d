#!/usr/bin/env python
"""Take some of the held-out prompts, or of the answers to them, for a figure.

Reads and writes records with "id" and "set". Of each set the first are taken in the order of a
hash of their ids, so that a smaller number's prompts are among a larger one's; or, with --like,
those that another file has. With --as-responses answers become first responses, for revise.py.
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.core.errors import fail_if
from cai.figures.selection import as_response, first_of_each_set
from cai.files.records import Ledger, of_kind, read_jsonl, write_jsonl
from cai.provenance.manifest import record
from cai.steps.answers import Answer


def main() -> None:
    """Read the options and select."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=cli.existing_file, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["harmful", "helpful"], metavar="SET")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--count", type=cli.positive, help="records of each set, at most")
    which.add_argument("--like", type=cli.existing_file, help="records with the same ids as these")
    parser.add_argument("--as-responses", action="store_true")
    options = parser.parse_args()
    records = list(read_jsonl(options.input))
    ledger = Ledger("select_records")
    ledger.count_in(len(records))
    if options.like:
        wanted = {row["id"] for row in read_jsonl(options.like)}
        chosen = [row for row in records if row["id"] in wanted]
    else:
        chosen = first_of_each_set(records, options.sets, options.count)
    ledger.leave_out("not selected", len(records) - len(chosen))
    fail_if(not chosen, f"{options.input}: no record of the sets {', '.join(options.sets)}")
    kept = list(ledger.kept(chosen))
    if options.as_responses:
        answers = [of_kind(row, Answer, str(options.input)) for row in kept]
        write_jsonl(options.output, map(as_response, answers))
    else:
        write_jsonl(options.output, kept)
    ledger.write(options.output)
    record(options, "output", ledger=ledger)


if __name__ == "__main__":
    cli.run(main)
