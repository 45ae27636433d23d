#!/usr/bin/env python
"""Compare two finished runs: one self-contained HTML file, with JSON, CSV and a figure beside it.

A run is its results folder, in which its report has been made:

    python scripts/compare/compare_runs.py results results/experiments/NAME --output comparison.html
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.core.shown import shown
from cai.files.records import write_csv, write_json, write_text
from cai.report import comparison, comparison_page


def main() -> None:
    """Read the command line, compare, write the files and print what differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("a", type=Path, metavar="A", help="results folder of the first run")
    parser.add_argument("b", type=Path, metavar="B", help="results folder of the second one")
    parser.add_argument(
        "--names", nargs=2, metavar="NAME", help="what they are called (default: their folders)"
    )
    parser.add_argument(
        "--judged",
        type=cli.existing_file,
        metavar="FILE",
        help="B's answers against A's, as judge_answers.py writes them, with its report beside",
    )
    parser.add_argument("--seed", type=int, default=1234, help="of the bootstrap and of the tests")
    parser.add_argument(
        "--output", type=Path, required=True, help="HTML; .json, .csv and .figure.svg beside it"
    )
    options = parser.parse_args()
    names = options.names or [str(options.a), str(options.b)]
    a, b = (comparison.read_run(*run) for run in zip(names, (options.a, options.b), strict=True))
    compared = comparison.compare(a, b, options.seed, options.judged)
    write_json(options.output.with_suffix(".json"), compared)
    write_csv(options.output.with_suffix(".csv"), comparison_page.csv_rows(compared))
    drawn, path = comparison_page.draw(compared), options.output.with_suffix(".figure.svg")
    if drawn is not None:
        drawn.write(path)
    write_text(options.output, comparison_page.render(compared, path if drawn else None))
    words = shown(comparison_page.plain(compared))
    print(f"{words}\n\nThe comparison: {options.output}", flush=True)


if __name__ == "__main__":
    cli.run(main)
