"""Texts of a run for a reader: answers side by side, chains of critiques and revisions.

Which ones are shown depends on a hash of their ids alone, so that a better-looking sample cannot be
picked. Of those, the ones on which the stages differ most come first.
"""

import difflib
import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cai.core.errors import fail_if
from cai.evaluation import tables
from cai.files.records import Record, read_jsonl, uniform

SETS = ("harmful", "helpful")


@dataclass(frozen=True)
class Sample:
    """How many texts a reader is shown."""

    harmful: int = 4
    helpful: int = 4
    chains: int = 4


def read_transcripts(
    answers: Sequence[Path], truth: Sequence[Path], sample: Sample
) -> dict[str, Record]:
    """By set of prompts, a few prompts with the answer of every model.

    Args:
        answers: of each model, in the order of the stages.
        truth: what a classifier says of them, for files of the same names.
        sample: how many of each set.

    Returns:
        for each set ``prompts``, how many all models answered; ``differ``, how many of them the
        models answered in different ways (by the classifier, else word by word); ``shown``, the
        examples: prompt, category, ``kinds`` of the answers (None where no classifier knows), and
        the answers.
    """
    models = {path.stem: {row["id"]: row for row in read_jsonl(path)} for path in answers}
    verdicts = {path.stem: {row["id"]: row for row in read_jsonl(path)} for path in truth}
    first, *others = models.values()
    common = [key for key in first if all(key in other for other in others)]
    examples = [_example(key, models, verdicts) for key in common]
    return {
        name: _chosen([one for one in examples if one["set"] == name], getattr(sample, name))
        for name in SETS
    }


def _example(
    key: str,
    models: Mapping[str, Mapping[str, Record]],
    verdicts: Mapping[str, Mapping[str, Record]],
) -> Record:
    rows = {model: own[key] for model, own in models.items()}
    known = [verdicts[model][key] for model in models if key in verdicts.get(model, {})]
    whole = len(known) == len(models)
    first = next(iter(rows.values()))
    return {
        "id": key,
        "set": first["set"],
        "prompt": first["prompt"],
        "category": known[0]["category"] if whole else None,
        "kinds": [verdict["kind"] for verdict in known] if whole else None,
        "answers": [
            {
                "model": tables.label(model),
                "text": row["answer"],
                "finished": row["finish"] == "stop",
            }
            for model, row in rows.items()
        ],
    }


def _chosen(examples: Sequence[Record], count: int) -> Record:
    shown = sorted(drawn(examples, count), key=_sameness)
    return {
        "prompts": len(examples),
        "differ": sum(differ(example) for example in examples),
        "by_kind": all(example["kinds"] for example in examples) and bool(examples),
        "shown": shown,
    }


def differ(example: Record) -> bool:
    """Whether the models answered in different ways."""
    ways = example["kinds"] or [answer["text"] for answer in example["answers"]]
    return len(set(ways)) > 1


def _sameness(example: Record) -> tuple[int, float]:
    """Small where the stages differ: by the kinds of their answers, then by their words."""
    texts = [answer["text"].split() for answer in example["answers"]]
    pairs = itertools.pairwise(texts)
    alike = [difflib.SequenceMatcher(None, a, b, autojunk=False).ratio() for a, b in pairs]
    return -len(set(example["kinds"] or [])), sum(alike)


def read_chains(paths: Sequence[Path], count: int) -> list[Record]:
    """A few responses with their critiques and revisions, those that were changed first."""
    chosen = drawn(itertools.chain.from_iterable(map(_chains, paths)), count)
    marked = [chain | {"changed": _changed(chain)} for chain in chosen]
    return sorted(marked, key=lambda chain: not chain["changed"])


def _changed(chain: Record) -> bool:
    """Whether the last revision is another text than the first response."""
    return bool(chain["rounds"]) and chain["rounds"][-1]["revision"] != chain["response"]


def _chains(path: Path) -> Iterator[Record]:
    for row in read_jsonl(path):
        missing = {"id", "prompt", "response", "rounds"} - row.keys()
        fail_if(
            missing, f"{path}: not a revision: the field {min(missing, default='')!r} is missing"
        )
        yield row


def drawn(rows: Iterable[Record], count: int) -> list[Record]:
    """So many of the rows, by a hash of their ids."""
    return heapq.nsmallest(count, rows, key=lambda row: uniform("report", row["id"]))
