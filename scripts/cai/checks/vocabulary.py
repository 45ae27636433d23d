"""A model's vocabulary: the words in which principles can be written for it, where it has a list.

A small model knows few words, and answers about others anyway. Its list is a text file. In a
Markdown file the words are those of the fenced blocks, and the rest is for people.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cai.core.errors import fail_if
from cai.files.paths import check_is_file
from cai.settings.configuration import Model
from cai.settings.constitution import TEXTS, Principle

CURLED = "\N{RIGHT SINGLE QUOTATION MARK}"  # that people's editors write for an apostrophe
WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|\d+")
FENCE = "```"
NEAREST = 3  # words told beside one that is not known


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters, in its order.

    >>> words_of("Which answer respects someone's privacy more?")
    ['which', 'answer', 'respects', "someone's", 'privacy', 'more']
    """
    return WORD.findall(text.lower().replace(CURLED, "'"))


class Vocabulary(NamedTuple):
    """The words that a model knows, and the file that lists them."""

    path: Path
    words: frozenset[str]


def load_vocabulary(path: Path, field: str = "vocabulary") -> Vocabulary:
    """The words of a vocabulary file; ``field`` names it in messages.

    Raises:
        UserError: the file is not there or has no words.
    """
    check_is_file(path, field, "a text or Markdown file")
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".md":
        text = "\n".join(text.split(FENCE)[1::2])
    words = frozenset(words_of(text))
    fail_if(
        not words, f"{field}: {path}: has no words; accepted: text, or Markdown with fenced blocks"
    )
    return Vocabulary(path, words)


def check_vocabulary(model: Model, principles: Iterable[Principle], path: Path | str) -> None:
    """Check the principles of a file against the list of the instruct model, if it has one."""
    if model.vocabulary:
        known = load_vocabulary(Path(model.vocabulary), "models.instruct.vocabulary")
        check_words(principles, path, known)


def check_words(
    principles: Iterable[Principle], constitution: Path | str, known: Vocabulary
) -> None:
    """Check that a model knows every word of the principles.

    Raises:
        UserError: principles and their unknown words, with the nearest known ones.
    """
    unknown = {each.id: _unknown(each, known.words) for each in principles}
    told = [f"principle {name}: {_told(ws, known.words)}" for name, ws in unknown.items() if ws]
    fail_if(told, f"{constitution}: {'; '.join(told)}; words that it knows: {known.path}")


def _unknown(principle: Principle, known: frozenset[str]) -> list[str]:
    texts = (getattr(principle, name) or "" for name in TEXTS)
    words = dict.fromkeys(word for text in texts for word in words_of(text))
    return [word for word in words if word not in known]


def _told(unknown: Sequence[str], known: frozenset[str]) -> str:
    words = ", ".join(_with_nearest(word, known) for word in unknown)
    return f"the instruct model does not know {words}"


def _with_nearest(word: str, known: frozenset[str]) -> str:
    nearest = difflib.get_close_matches(word, sorted(known), n=NEAREST)
    return f'"{word}"' + (f" (nearest: {', '.join(nearest)})" if nearest else "")
