"""Compare a judge with a classifier that knows the truth: is the judge calibrated?

Reads {"id", "prompt", "a", "b", "p_a"} (rl_cai/preferences/*.jsonl), writes JSON: the accuracy, the
Brier score, the expected calibration error and its reliability table, of the comparisons of which
the classifier calls one answer good (harmless, or helpful) and the other not. With the
ledgers of the judging, also how many comparisons have no judgement, by reason ("failed").
"""

import argparse
from collections import Counter
from pathlib import Path

from cai.core import cli
from cai.evaluation.calibration import calibration, compare_with_truth
from cai.evaluation.classifier import load_classifier
from cai.files.records import read_json, read_records, write_json
from cai.judging.pairs import SoftLabel
from cai.provenance.manifest import record


def main() -> None:
    """Read the command line, compare, write, and print one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--judged", type=cli.existing_file, nargs="+", required=True)
    parser.add_argument("--classifier", type=Path, required=True, help="Python file with score()")
    parser.add_argument(
        "--ledgers", type=cli.existing_file, nargs="*", default=[], help="of the judging"
    )
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    score = load_classifier(options.classifier)
    rows = [row for path in options.judged for row in read_records(path, SoftLabel)]
    known, unknown = compare_with_truth(rows, score, options.classifier)
    failed: Counter[str] = Counter()
    for path in options.ledgers:
        failed.update(read_json(path)["dropped"])
    found = {**calibration(known), "unknown": unknown, "failed": dict(sorted(failed.items()))}
    write_json(options.output, found)
    record(options, "output", what="calibration")
    result = "the truth of none is known"
    if known:
        result = (
            f"right {found['accuracy']:.1%}, sure {found['confidence']:.1%}, ECE {found['ece']:.3f}"
        )
    lost = f"; {failed.total()} without a judgement" if failed else ""
    print(f"{len(known)} of {len(rows)} comparisons with a known truth: {result}{lost}")


if __name__ == "__main__":
    cli.run(main)
