#!/usr/bin/env python
"""Write the report of a run, one self-contained HTML file with its data as JSON beside it."""

import argparse
from pathlib import Path

from cai.core import cli
from cai.evaluation import tables
from cai.evaluation.warnings import warning_list
from cai.files.records import read_json, write_json, write_text
from cai.report import before_after, run_report
from cai.settings.configuration import Settings
from cai.settings.constitution import load_constitution

FILES = {
    "answers": "of each model, in the order of the stages",
    "truth": "what a classifier says of the answers, files of the same names",
    "figures": "SVG files, in the order in which they are shown",
    "ledgers": "*.ledger.json, in the order of the steps",
    "judge_reports": "*.report.json of the judge",
    "chains": "revisions, with their critiques",
    "manifests": "*.manifest.json of the checkpoints",
}


def main() -> None:
    """Read the command line, write the report and print the table."""
    options = _parser().parse_args()
    summary = read_json(options.summary)
    files = {name: getattr(options, name) for name in FILES}
    sources = run_report.Sources(
        **files,
        calibration=options.calibration,
        checks=options.checks,
        command=options.command,
    )
    principles = load_constitution(options.constitution)
    content = run_report.collect(summary, principles, options.settings, sources)
    if options.before is not None:
        seed, results = options.settings.seed, options.output.parent
        content["before"] = before_after.since(options.before, results, content, seed)
    write_text(options.output, run_report.render(content, options.settings, sources))
    write_json(options.output.with_suffix(".json"), content)
    for warning in content["warnings"]:
        print(f"Warning: {warning_list.sentence(warning)}")
    words = [content["headline"], tables.plain(*tables.table(summary))]
    print("\n\n".join(["", *filter(None, words), f"The report: {options.output}"]), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=cli.existing_file, required=True, help="summary.json")
    parser.add_argument("--constitution", type=cli.existing_file, required=True)
    parser.add_argument(
        "--settings",
        type=cli.json_option(Settings),
        required=True,
        help="JSON of the configuration",
    )
    for name, what in FILES.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=cli.existing_file,
            nargs="+" if name == "answers" else "*",
            required=name == "answers",
            default=[],
            help=what,
        )
    parser.add_argument(
        "--calibration",
        type=cli.existing_file,
        nargs="?",
        help="of the judge, where the truth is known",
    )
    parser.add_argument(
        "--checks", type=cli.existing_file, nargs="?", help="what was checked between stages"
    )
    parser.add_argument(
        "--before",
        type=Path,
        metavar="FOLDER",
        help="the run that was kept before an edit",
    )
    parser.add_argument(
        "--command", default="", help="what the user typed to make the run; empty: not known"
    )
    parser.add_argument("--output", type=Path, required=True, help="HTML; .json is beside it")
    return parser


if __name__ == "__main__":
    cli.run(main)
