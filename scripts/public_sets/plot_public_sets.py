#!/usr/bin/env python
"""Draw a figure of Bai et al. 2022 from a run's answers to public sets, with its data as JSON.

What is missing (--missing) is named in the figure; where nothing can be drawn, it says why.
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.figures import public_figures
from cai.figures.options import add_fact_options
from cai.files.records import Record, read_jsonl

KINDS = ("hhh", "subsets", "calibration", "identification")


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--title", required=True)
    parser.add_argument(
        "--rewards", type=cli.existing_file, nargs="*", default=[], help="of hhh, subsets"
    )
    parser.add_argument(
        "--judged",
        type=cli.existing_file,
        nargs="*",
        default=[],
        help="of hhh and calibration, SET.METHOD.jsonl",
    )
    parser.add_argument(
        "--answers",
        type=cli.existing_file,
        nargs="*",
        default=[],
        help="of identification, SET.MODEL.jsonl",
    )
    add_fact_options(parser)
    parser.add_argument("--seed", type=int, default=1234, help="of the bootstrap")
    parser.add_argument(
        "--output", type=Path, required=True, help="SVG; .png, .csv and .json are written beside it"
    )
    options = parser.parse_args()
    facts = {"seed": options.seed, "settings": options.facts}
    drawing, record = _figure(options, facts)
    public_figures.write_figure(options.output, drawing, record)
    print(drawing.description, flush=True)


def _figure(options: argparse.Namespace, facts: Record) -> tuple[public_figures.Drawing, Record]:
    judged = {method: list(read_jsonl(path)) for _, method, path in _named(options.judged)}
    rewards = [row for path in options.rewards for row in read_jsonl(path)]
    if options.kind == "subsets":
        return public_figures.subset_accuracy(options.title, rewards, options.missing, facts)
    if options.kind == "hhh":
        return public_figures.hhh_accuracy(options.title, rewards, judged, options.missing, facts)
    if options.kind == "calibration":
        return public_figures.judge_calibration(options.title, judged, options.missing, facts)
    answers: dict[str, dict[str, list[Record]]] = {}
    for name, model, path in _named(options.answers):
        answers.setdefault(name, {})[model] = list(read_jsonl(path))
    return public_figures.harm_identification(options.title, answers, options.missing, facts)


def _named(paths: list[Path]) -> list[tuple[str, str, Path]]:
    """Files with the two parts of their names."""
    return [(*_parts(path), path) for path in paths]


def _parts(path: Path) -> tuple[str, str]:
    one, other = path.name.removesuffix(".jsonl").split(".", 1)
    return one, other


if __name__ == "__main__":
    cli.run(main)
