#!/usr/bin/env python
"""Show where a result came from, or what differs between two; accept a change that does not matter.

    lineage.py ARTEFACT                     the tree, down to principles, datasets and models
    lineage.py --diff A B                   what differs between two, also of other results
    lineage.py ARTEFACT --record ID         one record: prompt, principles, intermediate texts
    lineage.py --adopt ARTEFACT --why WHY [SNAKEMAKE ARGUMENT...]
                                            accept it as up to date, for a reason that is recorded

Exit code 1: the chain is broken, by a file that was changed afterwards or a missing manifest.
"""

import argparse
import json
import sys

from cai.core import cli
from cai.core.errors import fail_if
from cai.core.shown import shown
from cai.lineage import display
from cai.lineage.adoption import adopt
from cai.lineage.difference import difference
from cai.lineage.record_trace import follow
from cai.lineage.trace import trace


def main() -> None:
    """Read the command line and do the one thing that it asks for."""
    adopting = "--adopt" in sys.argv[1:]  # then other words are Snakemake's
    parser = _parser(adopting)
    options, others = parser.parse_known_args()
    if adopting:
        fail_if(not options.why, "--adopt needs --why: the reason is recorded in the manifests")
        adopt(options.adopt, options.why, others)
        return
    if others:
        parser.error(f"unrecognised: {' '.join(others)}")
    if options.diff:
        found = difference(*map(trace, options.diff))
        _print(options, found.as_dict(), display.differences(found))
        return
    fail_if(not options.artefact, "expected an artefact, such as results/rl_cai.nemo")
    lineage = trace(options.artefact)
    if options.record:
        steps = follow(lineage, options.record)
        _print(options, steps, display.record(steps))
        return
    _print(options, lineage.as_dict(), display.tree(lineage))
    sys.exit(bool(lineage.broken))


def _parser(adopting: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if not adopting:
        parser.add_argument("artefact", nargs="?", help="such as results/rl_cai.nemo")
    parser.add_argument("--json", action="store_true", help="print JSON")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--diff", nargs=2, metavar=("A", "B"), help="compare two artefacts")
    what.add_argument("--record", metavar="ID", help="follow one record of a dataset")
    what.add_argument("--adopt", metavar="ARTEFACT", help="accept it as up to date; see --why")
    parser.add_argument("--why", help="why the change does not matter")
    return parser


def _print(options: argparse.Namespace, content: object, words: str) -> None:
    # It holds what models and services have said: nothing of that may control a terminal.
    print(json.dumps(content, indent=2) if options.json else shown(words), flush=True)


if __name__ == "__main__":
    cli.run(main)
