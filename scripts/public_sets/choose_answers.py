#!/usr/bin/env python
"""Ask a model questions with choices: how probable is each choice as its next words?

Reads {"id", "set", "messages", "prefix", "choices", "correct"}, writes {"id", "set", "correct",
"probabilities", "right"}: the probabilities of the choices among themselves, and whether the right
one is the most probable.
"""

import argparse
import math

from cai.asking.client import Failed
from cai.asking.program import add_model_options, parse, program
from cai.asking.run import Run
from cai.core import cli
from cai.evaluation.public_sets import Question
from cai.files.records import Ledger, Record


def main() -> None:
    """Read the command line and ask."""
    step(parse(parser()), Run())


def step(options: argparse.Namespace, run: Run) -> None:
    """Ask the model, write what it chooses."""
    ledger = Ledger("choose_answers")
    records = run.records(options, Question)
    ledger.count_in(len(records))
    asked = [
        (record["messages"], record["prefix"] + choice)
        for record in records
        for choice in record["choices"]
    ]
    rows = []
    with run.model(options, counts=True) as model:
        found = iter(model.log_probabilities(asked, "choices"))
        ledger.notes["usage"] = model.client.usage.as_dict()
    for record in records:
        scores = [next(found) for _ in record["choices"]]
        known = [score for score in scores if not isinstance(score, Failed)]
        failed = [score for score in scores if isinstance(score, Failed)]
        if failed:
            ledger.drop(failed[0].reason, record={"id": record["id"]})
        else:
            rows.append(_chosen(record, known))
    run.conclude(rows, ledger, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program(__doc__, "questions (evaluation/sets/*.jsonl)")
    add_model_options(parser)
    return parser


def _chosen(record: Question, scores: list[float]) -> Record:
    highest = max(scores)
    weights = [math.exp(score - highest) for score in scores]
    probabilities = [weight / sum(weights) for weight in weights]
    right = scores.index(highest) == record["correct"]
    known = {"id": record["id"], "set": record["set"], "correct": record["correct"]}
    return {**known, "probabilities": probabilities, "right": right}


if __name__ == "__main__":
    cli.run(main)
