#!/usr/bin/env python
"""Time and peak memory of each stage of a finished demo run, from Snakemake's own benchmark files.

.envs/controller/bin/python benchmarks/stages.py [results/demo]
"""

import csv
import sys
from pathlib import Path


def main() -> None:
    """Print a Markdown table, in the order in which the stages ended."""
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results/demo")
    files = sorted((results / "benchmarks").rglob("*.tsv"), key=lambda path: path.stat().st_mtime)
    rows = [(stage(path, results), *measured(path)) for path in files]
    print("| stage | seconds | CPU seconds | peak memory, MB |\n| --- | ---: | ---: | ---: |")
    for name, seconds, cpu, memory in rows:
        print(f"| {name} | {seconds:.0f} | {cpu:.0f} | {memory:,.0f} |")
    print(f"| all, if one after another | {sum(row[1] for row in rows):.0f} | | |")


def stage(path: Path, results: Path) -> str:
    """The rule, and what distinguishes its jobs."""
    return str(path.relative_to(results / "benchmarks").with_suffix("")).replace("/", " ")


def measured(path: Path) -> tuple[float, float, float]:
    """Wall time and CPU time in seconds, and the peak resident memory of all processes in MB."""
    with path.open() as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    return float(row["s"]), float(row["cpu_time"]), float(row["max_rss"])


if __name__ == "__main__":
    main()
