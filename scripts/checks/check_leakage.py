#!/usr/bin/env python
"""Look for held-out prompts that are nearly the same as training prompts.

Reads held-out {"id", "prompt"}, and training records with a "prompt", a "text" in the chat template
or a dialogue; memory grows with the held-out ones alone.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from cai.core import cli
from cai.core.errors import UserError
from cai.core.progress import Progress
from cai.data.dialogues import Malformed, opening, parse_dialogue
from cai.data.near_duplicates import THRESHOLD, WORDS, Index, Match, near_duplicates
from cai.evaluation.prompts import unwrapped
from cai.files.records import Record, read_jsonl, uniform, write_json
from cai.models.templates import Template

EXAMPLES = 5


def main() -> None:
    """Read the command line, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--held-out", type=cli.existing_file, required=True)
    parser.add_argument("--train", type=cli.existing_file, nargs="+", required=True)
    parser.add_argument(
        "--template", type=cli.json_option(Template), required=True, help="JSON: that of the texts"
    )
    parser.add_argument("--threshold", type=float, default=THRESHOLD, help="least similarity")
    parser.add_argument("--output", type=Path, required=True, help="JSON")
    options = parser.parse_args()
    held_out = {row["id"]: row["prompt"] for row in read_jsonl(options.held_out)}
    index = Index(held_out.items(), options.threshold)
    sets = {}
    for path in options.train:
        found = near_duplicates(index, _prompts(path, options.template))
        name = f"{path.parent.name}/{path.name}"
        sets[name] = {
            "held_out": len(held_out),
            "near_duplicates": len(found),
            "equal": sum(match.similarity == 1.0 for match in found.values()),
            "threshold": options.threshold,
            "examples": [
                {"held_out": held_out[key], **_shown(found[key])}
                for key in sorted(found, key=lambda key: uniform("leakage", key))[:EXAMPLES]
            ],
        }
        print(f"{name}: {len(found)} of {len(held_out)} held-out prompts have a near-duplicate")
    method = f"Jaccard similarity of sequences of {WORDS} words, of at least the threshold."
    write_json(options.output, {"method": method, "sets": sets})


def _shown(match: Match) -> Record:
    return {"train": match.text, "similarity": round(match.similarity, 3)}


def _prompts(path: Path, template: Template) -> Iterator[tuple[str, str]]:
    """The prompts of a file, with their places."""
    with open(path, "rb") as stream:
        count = sum(1 for _ in stream)
    with Progress(count, path.name) as progress:
        for number, row in enumerate(read_jsonl(path), 1):
            progress.advance()
            where = f"{path}:{number}"
            yield where, _text(row, template, where)


def _text(row: Record, template: Template, where: str) -> str:
    if "prompt" in row:
        return str(row["prompt"])
    if "text" in row:
        return unwrapped(row["text"], template)
    try:
        return opening(parse_dialogue(row))
    except Malformed as error:
        raise UserError(f"{where}: expected a prompt, a text or a dialogue: {error}") from None


if __name__ == "__main__":
    cli.run(main)
