#!/usr/bin/env python
"""Summarise an evaluation: a table of all models with intervals, as JSON, CSV and Markdown.

A file belongs to the model that its stem names: rewards/rl_cai.jsonl to answers/rl_cai.jsonl.
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.core.errors import fail_if
from cai.evaluation import tables
from cai.evaluation.headline import headline
from cai.evaluation.summary import Rows, read_model, stem_of, summarise
from cai.files.records import write_csv, write_json, write_text
from cai.provenance.manifest import record

SOURCES = ("rewards", "judged", "truth")


def main() -> None:
    """Read the command line and write the three files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--answers",
        type=cli.existing_file,
        nargs="+",
        required=True,
        help="in the order of the stages",
    )
    for source in SOURCES:
        parser.add_argument(f"--{source}", type=cli.existing_file, nargs="*", default=[])
    parser.add_argument(
        "--output", type=Path, required=True, help="JSON; .csv and .md are written beside it"
    )
    parser.add_argument("--seed", type=int, default=1234, help="of the bootstrap")
    options = parser.parse_args()
    models = read_models(options.answers, {source: getattr(options, source) for source in SOURCES})
    summary = summarise(models, options.seed)
    write_json(options.output, summary)
    write_csv(options.output.with_suffix(".csv"), tables.csv_rows(summary))
    sentence = headline(summary)
    text = "\n\n".join(filter(None, [sentence and f"{sentence}.", tables.markdown(summary)]))
    write_text(options.output.with_suffix(".md"), text)
    record(options, "output", what="summary")
    print(tables.plain(*tables.table(summary)), flush=True)


def read_models(answers: list[Path], files: dict[str, list[Path]]) -> dict[str, Rows]:
    """The joined records of each model, in the order of the answers files."""
    names = [path.stem for path in answers]
    fail_if(len(set(names)) < len(names), f"--answers: each model once, found {', '.join(names)}")
    found = {
        source: {stem_of(path, names, source): path for path in paths}
        for source, paths in files.items()
    }
    return {
        path.stem: read_model(path, {s: found[s].get(path.stem) for s in files}) for path in answers
    }


if __name__ == "__main__":
    cli.run(main)
