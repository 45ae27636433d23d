#!/usr/bin/env python
"""Run the workflow again, from nothing, into another folder, and compare the results of both.

    reproduce.py HERE THERE [arguments of snakemake]
    reproduce.py results/demo results/demo-again --profile profiles/demo

HERE are the results of a finished run; THERE is where the second one goes: an empty folder, or none
yet. The arguments of snakemake are those of the first run. Prints a line for each dataset, all
answers, the summary and each model, with the first digits of their digests. Exit code 1: something
differs.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cai.core import cli
from cai.core.errors import UserError, fail_if
from cai.provenance.reproduction import compare, table


def main() -> None:
    """Read the command line, run, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("here", type=Path, metavar="HERE", help="results of a finished run")
    parser.add_argument("there", type=Path, metavar="THERE", help="where the second run goes")
    options, arguments = parser.parse_known_args()
    here, there = options.here, options.there
    fail_if(not here.is_dir(), f"{here}: no such folder; expected the results of a finished run")
    fail_if(
        there.exists() and (not there.is_dir() or any(there.iterdir())),
        f"{there}: is not empty; a run from nothing needs an empty folder, or none",
    )
    _run(there, arguments)
    rows = compare(here, there)
    fail_if(not rows, f"{there}: the run has made nothing that could be compared")
    print("\n".join(table(rows, str(here), str(there))))
    equal = sum(row.is_equal for row in rows)
    print(f"{equal} of {len(rows)} equal")
    if equal < len(rows):
        raise SystemExit(1)


def _run(there: Path, arguments: Sequence[str]) -> None:
    """Run the workflow into a folder; an own ``--config`` among the arguments is kept."""
    given = list(arguments)
    targets = given.index("--") if "--" in given else len(given)
    place = given.index("--config") + 1 if "--config" in given else targets
    words = [f"results={there}"] if "--config" in given else ["--config", f"results={there}"]
    given[place:place] = words
    done = subprocess.run([sys.executable, "-m", "snakemake", *given])
    if done.returncode:
        raise UserError(f"the second run ended with code {done.returncode}; its results: {there}")


if __name__ == "__main__":
    cli.run(main)
