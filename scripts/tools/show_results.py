#!/usr/bin/env python
"""Show what a finished run found: the result in one sentence, the table, and where its report is.

python scripts/tools/show_results.py results/demo
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from cai.core import cli
from cai.core.errors import fail_if
from cai.core.shown import shown
from cai.evaluation import tables
from cai.evaluation.warnings import warning_list
from cai.files.records import Record, read_json

MOST = 5  # warnings that are shown; the report has all


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder of a finished run")
    folder = parser.parse_args().results
    data = folder / "report.json"
    fail_if(not data.is_file(), f"{data}: no such file: the run is not finished, make its report")
    report = read_json(data)
    parts = [
        report["headline"],
        report["settings"]["evaluation"].get("remark"),  # reports of before have none
        tables.plain(*tables.table(report["summary"])),
        "\n".join(_careful(report["warnings"])),
        _edit(folder, report.get("before")),
        f"The report: {folder / 'report.html'}",
    ]
    print(shown("\n\n".join(filter(None, parts))), flush=True)


def _edit(folder: Path, before: Record | None) -> str:
    """What the last edit changed, and where the run before it is; empty if there is none."""
    if before is None:
        return ""
    return f"Since the last edit: {before['headline']}\nBefore it: {folder / before['report']}"


def _careful(warnings: Sequence[Record]) -> list[str]:
    """What to be careful about: the heaviest warnings, and how many more there are."""
    unexpected = [one for one in warnings if not one["expected"]]
    explained = len({one["what"] for one in warnings if one["expected"]})
    lines = [f"Be careful: {warning_list.sentence(one)}" for one in unexpected[:MOST]]
    if len(unexpected) > MOST:
        lines.append(f"... and {len(unexpected) - MOST} more warnings in the report")
    if explained:
        lines.append(f"{explained} kinds of warnings are expected here; the report says why.")
    return lines


if __name__ == "__main__":
    cli.run(main)
