"""Files that differ by a number alone, such as those of all shards, as one word of a command line.

A shell is given the whole command as one argument, and Linux takes 128 KiB of one: hundreds of
shards would not fit, path by path. ``responses/{0..99}.jsonl`` stands for a hundred files.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

NUMBERED = re.compile(r"(?P<before>.*/)(?P<number>0|[1-9]\d*)(?P<after>\.[\w.]+)", re.S)
FOLDED = re.compile(r"(?P<before>.*/)\{(?P<first>\d+)\.\.(?P<last>\d+)\}(?P<after>\.[\w.]+)", re.S)


def folded(paths: Iterable[str]) -> list[str]:
    """The paths, with one word for each run of files whose numbers follow each other.

    >>> folded(["a/0.jsonl", "a/1.jsonl", "a/2.jsonl", "b.jsonl"])
    ['a/{0..2}.jsonl', 'b.jsonl']
    """
    parts = [(NUMBERED.fullmatch(path), path) for path in paths]
    words = []
    for (before, after, _), run in groupby(enumerate(parts), key=_run):
        found = [part for _, part in run]
        if before is None or len(found) == 1:
            words += [path for _, path in found]
        else:
            first, last = (NUMBERED.sub(r"\g<number>", path) for _, path in (found[0], found[-1]))
            words.append(f"{before}{{{first}..{last}}}{after}")
    return words


def unfolded(words: Sequence[str]) -> list[str]:
    """A command line in which every file stands for itself again.

    >>> unfolded(["--chains", "a/{0..2}.jsonl"])
    ['--chains', 'a/0.jsonl', 'a/1.jsonl', 'a/2.jsonl']
    """
    return [path for word in words for path in _unfolded(word)]


def _run(numbered: tuple[int, tuple[re.Match[str] | None, str]]) -> tuple[str | None, str, int]:
    """What the members of a run share: how they begin and end, and number less place."""
    place, (match, _) = numbered
    if match is None:
        return None, "", 0
    return match["before"], match["after"], int(match["number"]) - place


def _unfolded(word: str) -> Iterator[str]:
    match = FOLDED.fullmatch(word)
    if match is None:
        yield word
        return
    for number in range(int(match["first"]), int(match["last"]) + 1):
        yield f"{match['before']}{number}{match['after']}"
