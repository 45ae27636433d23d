#!/usr/bin/env python
"""Put the last stages of a run side by side: one HTML page, with JSON and CSV beside it.

A file belongs to the model that its stem names, answers/dpo_cai.jsonl to dpo_cai; SL-CAI's answers
come first. What a policy needs of its own, and where its cost is kept, is given as JSON.
"""

import argparse
from pathlib import Path

from pydantic import TypeAdapter

from cai.core import cli
from cai.evaluation.summary import Rows, read_model, stem_of
from cai.files.records import write_csv, write_json, write_text
from cai.models.sampling import Sampling
from cai.report.policy_report import frontier, policy_comparison, policy_page
from cai.report.policy_report.policy_comparison import Part, Policy

SOURCES = ("rewards", "judged", "truth")


def main() -> None:
    """Read the command line, compare, write the three files and print the table."""
    options = _parser().parse_args()
    models = _models(options)
    start, *names = models
    parts = TypeAdapter(dict[str, list[Part]]).validate_json(options.parts)
    policies = [
        Policy(
            name,
            models[name],
            _named(options.own, f"{name}.by_{name}"),
            _named(options.start, f"{name}.by_{start}"),
            parts.get(name, ()),
        )
        for name in names
    ]
    compared = policy_comparison.compare_policies(models[start], policies, options.seed)
    compared["warnings"] = policy_comparison.collapse(compared, options.answers, options.seed)
    texts = policy_comparison.transcripts(options.answers, options.truth)
    write_json(options.output.with_suffix(".json"), compared)
    write_csv(options.output.with_suffix(".csv"), policy_page.csv_rows(compared))
    pictures = {}
    for name, draw in (("figure", policy_page.draw), ("frontier", frontier.draw_frontier)):
        if drawn := draw(compared):
            pictures[name] = options.output.with_suffix(f".{name}.svg")
            drawn.write(pictures[name])
    page = policy_page.render(compared, texts, _is_whole(options.sampling), pictures)
    write_text(options.output, page)
    print(f"{policy_page.plain(compared)}\n\nThe comparison: {options.output}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--answers", type=cli.existing_file, nargs="+", required=True, help="SL-CAI's first"
    )
    for source in SOURCES:
        parser.add_argument(f"--{source}", type=cli.existing_file, nargs="*", default=[])
    for name, whose in (("own", "the policy that gave them"), ("start", "SL-CAI")):
        parser.add_argument(
            f"--{name}",
            type=cli.existing_file,
            nargs="*",
            default=[],
            help=f"log-probabilities of each policy's answers by {whose}",
        )
    parser.add_argument("--parts", default="{}", help="JSON: of each policy its own jobs")
    cli.add_json_option(parser, "--sampling", Sampling, "how the answers were sampled")
    parser.add_argument("--seed", type=int, default=1234, help="of the bootstrap and of the tests")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="HTML; .json, .csv, .figure.svg and .frontier.svg beside it",
    )
    return parser


def _models(options: argparse.Namespace) -> dict[str, Rows]:
    """The joined records of each model, in the order of the answers files."""
    names = [path.stem for path in options.answers]
    found = {
        source: {stem_of(path, names, source): path for path in getattr(options, source)}
        for source in SOURCES
    }
    return {
        path.stem: read_model(path, {s: found[s].get(path.stem) for s in SOURCES})
        for path in options.answers
    }


def _named(paths: list[Path], stem: str) -> Path | None:
    return next((path for path in paths if path.stem == stem), None)


def _is_whole(sampling: Sampling) -> bool:
    """Whether answers come from the model's whole distribution."""
    whole = sampling.top_k == 0 and sampling.top_p == 1.0 and sampling.repetition_penalty == 1.0
    return whole and sampling.temperature == 1.0 and not sampling.greedy


if __name__ == "__main__":
    cli.run(main)
