"""Rated red-team transcripts, and the regression that gives answers an absolute score of harm.

Bai et al. (2022), figure 10, fine-tune a language model with an L2 loss to predict the ratings that
red teamers gave to their own success, from 0 to 4. Here it is a ridge regression on what can be
computed of a single exchange: a reward model's score, the answer's length and its words.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from math import log1p
from pathlib import Path

import numpy

from cai.data.dialogues import Malformed, first_turns
from cai.data.splits import Part, SplitOptions, Splitter
from cai.data.spool import Spool
from cai.files.records import Ledger, Prompt, Record, record_id, uniform, write_jsonl
from cai.models.tokens import LengthLimit
from cai.settings.sources import Source, read_source
from cai.statistics.diversity import ngrams

LOWEST, HIGHEST = 0, 4


class Rating(Prompt):
    """The first exchange of a transcript, with the rating that the transcript has."""

    prompt_id: str
    answer: str
    rating: float
    part: Part


def prepare_ratings(
    source: Source, output: Path, length: LengthLimit, options: SplitOptions
) -> Ledger:
    """Write the first exchange of each rated transcript, with its rating and the prompt's part.

    Transcripts without a rating are left out; a source may have none at all.

    Raises:
        UserError: if the source cannot be read, or too many records are bad.
    """
    ledger, splitter = Ledger("ratings"), Splitter(options)
    with Spool[Rating](output.parent) as spool:
        for row in _rated(source, ledger, splitter, length):
            spool.add(uniform("order", options.seed, row["id"]), row)
        if ledger.dropped["no rating"] < ledger.seen:
            ledger.check(options.max_bad_share, source.label)
        write_jsonl(output, ledger.kept(spool.records(options.limit)))
        ledger.leave_out("over the limit", len(spool) - ledger.out)
    ledger.write(output)
    return ledger


def _rated(
    source: Source, ledger: Ledger, splitter: Splitter, length: LengthLimit
) -> Iterator[Rating]:
    seen: set[str] = set()
    for where, row in read_source(source, ledger):
        if row.get("rating") is None:
            ledger.leave_out("no rating")
            continue
        try:
            prompt, answer, rating = _exchange(row)
            part = splitter.part(record_id(prompt), row, source, where)
        except Malformed as error:
            ledger.drop(str(error), where=where, record=row)
            continue
        name = record_id(f"{prompt}\n{answer}\n{rating}")
        if name in seen:
            ledger.leave_out("duplicate exchange")
        elif not length.fits(prompt + answer):
            ledger.drop("exchange too long", where=where, record=name, bad=False)
        else:
            seen.add(name)
            yield {
                "id": name,
                "prompt_id": record_id(prompt),
                "prompt": prompt,
                "answer": answer,
                "rating": rating,
                "part": part,
            }


def _exchange(row: Record) -> tuple[str, str, float]:
    """The first prompt, its answer and the transcript's rating.

    Raises:
        Malformed: with the reason.
    """
    turns = first_turns(row, 2)
    if len(turns) < 2:
        raise Malformed("no answer")
    rating = row["rating"]
    is_number = isinstance(rating, int | float) and not isinstance(rating, bool)
    if not is_number or not LOWEST <= rating <= HIGHEST:
        raise Malformed(f"rating is no number from {LOWEST} to {HIGHEST}")
    return turns[0]["content"], turns[1]["content"], float(rating)


def features(answers: Iterable[str], rewards: Sequence[float], places: int) -> numpy.ndarray:
    """What the regression sees of each answer: [n, 2 + places].

    The reward, the logarithm of the number of words, and which words and pairs of words are in
    it: each is hashed to one of so many places. Source of hashing: Weinberger et al., "Feature
    hashing for large scale multitask learning", 2009 (without signs).
    """
    table = numpy.zeros((len(rewards), 2 + places))
    for row, answer, reward in zip(table, answers, rewards, strict=True):
        row[0], row[1] = reward, log1p(len(answer.split()))
        if places:
            row[[2 + _place(gram, places) for n in (1, 2) for gram in ngrams(answer, n)]] = 1
    return table


@cache
def _place(gram: tuple[str, ...], places: int) -> int:
    return int(uniform("word", *gram) * places)
