#!/usr/bin/env python
"""Draw matches between policies: pairs of their answers to one prompt, for judge_answers.py.

Reads files of {"id", "prompt", "set", "answer"}, one of each policy, named by it. Writes the two
sides of the matches to two files with the same ids.
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.files.records import read_jsonl, write_jsonl
from cai.judging.matches import draw_matches
from cai.provenance.manifest import record


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=cli.existing_file, nargs="+", required=True)
    parser.add_argument("--part", required=True, help="set of prompts: harmful or helpful")
    parser.add_argument(
        "--matches", type=cli.positive, required=True, help="pairs of policies on each prompt"
    )
    parser.add_argument("--seed", type=int, default=1234)
    for side in ("first", "second"):
        parser.add_argument(f"--{side}", type=Path, required=True, help="file to write")
    options = parser.parse_args()
    answers = {path.stem: {row["id"]: row for row in read_jsonl(path)} for path in options.answers}
    matches = draw_matches(answers, options.part, options.matches, options.seed)
    for place, path in enumerate((options.first, options.second)):
        write_jsonl(path, (match[place] for match in matches))
    record(options, "first", "second", what="match_answers")
    print(f"match_answers: {len(matches)} matches of {len(answers)} policies", flush=True)


if __name__ == "__main__":
    cli.run(main)
