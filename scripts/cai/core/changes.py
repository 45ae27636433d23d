"""What differs between two values of settings, in the words of the configuration.

Settings reach programs as JSON texts, as NeMo's overrides and as lists of principles. Each is first
brought into the form of nested objects, so that one comparison serves all: by key, by override, by
the id of a principle.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

OVERRIDE = re.compile(r"(?:\+{0,2}[\w.@/]+=|~[\w.@/]+$)")
TEXTS = ("critique", "revision", "preference")
NAMED = 3  # edited modules that have a line each
SHORT = 60  # characters of a value in a line


class _Nothing:
    """Stands for a value that is not there; None is a value."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()


class Change(NamedTuple):
    """One value that differs.

    Attributes:
        path: the keys that lead to it.
        before: the value on the left, or NOTHING.
        now: the value on the right, or NOTHING.
    """

    path: tuple[str, ...]
    before: Any
    now: Any

    def __str__(self) -> str:
        """One short line."""
        if principle := next((key for key in self.path if key.startswith("principle ")), None):
            if self.before is NOTHING or self.now is NOTHING:
                return f"{principle} {'added' if self.before is NOTHING else 'removed'}"
            return f"{principle}: {self.path[-1]} edited"
        name = ".".join(self.path) or "value"
        if self.before is NOTHING or self.now is NOTHING:
            what, value = ("added", self.now) if self.before is NOTHING else ("gone", self.before)
            return f"{name}: {what}, {_short(value)}"
        return f"{name}: {_short(self.before)} -> {_short(self.now)}"


def changes(name: str, before: Any, now: Any) -> list[str]:
    """Short lines that say how a named value has changed.

    >>> changes("sampling", '{"temperature": 1.0, "top_k": 0}', '{"temperature": 0.5, "top_k": 0}')
    ['sampling.temperature: 1.0 -> 0.5']
    """
    found = compare(plain(before), plain(now), (name,))
    return list(dict.fromkeys(map(str, found)))


def edits(paths: Sequence[str]) -> list[str]:
    """Short lines that name edited code; of many modules, the number and the first ones.

    >>> edits(["scripts/rl_cai/judge_candidates.py"])
    ['code: scripts/rl_cai/judge_candidates.py edited']
    """
    if len(paths) <= NAMED:
        return [f"code: {path} edited" for path in paths]
    return [f"code: {len(paths)} modules edited: {', '.join(paths[:NAMED])}, ..."]


def compare(before: Any, now: Any, path: tuple[str, ...] = ()) -> Iterator[Change]:
    """Yield the differences between two plain values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            yield from compare(before.get(key, NOTHING), now.get(key, NOTHING), (*path, str(key)))
    elif before != now or isinstance(before, bool) != isinstance(now, bool):
        yield Change(path, before, now)


def plain(value: Any) -> Any:
    """A setting as nested objects with numbers and texts at their ends.

    JSON texts are read, principles are named by their ids, overrides and options by their keys.
    """
    if isinstance(value, str):
        return _read(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return _listed(list(value))
    return value


def _read(text: str) -> Any:
    if text[:1] not in ("{", "["):
        return text
    try:
        return plain(json.loads(text))
    except json.JSONDecodeError:
        return text


def _listed(items: list[Any]) -> Any:
    read = [plain(item) for item in items]
    if read and all(isinstance(item, dict) and "id" in item for item in read):
        kind = "principle " if any(text in item for item in read for text in TEXTS) else ""
        return {f"{kind}{item['id']}": _without_id(item) for item in read}
    if any(isinstance(item, str) and OVERRIDE.match(item) for item in read):
        return _command(read)
    if read and isinstance(read[0], str) and read[0].startswith("--"):
        return _options(read)
    if any(isinstance(item, dict | list) for item in read):
        return {str(number): item for number, item in enumerate(read)}
    return read


def _without_id(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "id"}


def _command(words: Sequence[Any]) -> dict[str, Any]:
    """The overrides of one of NeMo's programs by key; the words before them are the program."""
    found: dict[str, Any] = {}
    program = []
    for word in map(str, words):
        if not OVERRIDE.match(word):
            program.append(word)
            continue
        key, _, value = word.partition("=")
        found[key.lstrip("+")] = value
    return {"program": " ".join(program), **found} if program else found


def _options(words: Sequence[Any]) -> dict[str, Any]:
    """Options of a command line by name, each with its values."""
    found: dict[str, list[Any]] = {}
    name = ""
    for word in words:
        if isinstance(word, str) and word.startswith("--"):
            name = word[2:]
            found[name] = []
        else:
            found[name].append(word)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def word_differences(before: str | None, now: str | None) -> list[tuple[str, str]]:
    """The runs of words that stay, go (``del``) and come (``ins``) from one text to another.

    >>> word_differences("Be kind.", "Be very kind.")
    [('same', 'Be'), ('ins', 'very'), ('same', 'kind.')]
    """
    old, new = ((text or "").split() for text in (before, now))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    runs = []
    for what, i, j, k, m in matcher.get_opcodes():
        parts = (("same", old[i:j]),) if what == "equal" else (("del", old[i:j]), ("ins", new[k:m]))
        runs += [(kind, " ".join(words)) for kind, words in parts if words]
    return runs


def word_diff(before: str, now: str) -> str:
    """A text with what was taken out in [-brackets-] and what was put in in {+braces+}.

    >>> word_diff("Which answer is kinder?", "Which answer is more honest?")
    'Which answer is [-kinder?-] {+more honest?+}'
    """
    return marked(word_differences(before, now))


def marked(runs: Iterable[Sequence[str]]) -> str:
    """Runs of words, as :func:`word_differences` gives them, as one text, see :func:`word_diff`."""
    forms = {"same": "{}", "del": "[-{}-]", "ins": "{{+{}+}}"}
    return " ".join(forms[what].format(words) for what, words in runs)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= SHORT else f"{text[: SHORT - 3]}..."


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names that only one has, or that have different values."""
    known = one.keys() | other.keys()
    return sorted(n for n in known if n not in one or n not in other or one[n] != other[n])


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, with dotted names."""
    if not isinstance(value, dict) or not value:
        yield name, value
        return
    for key, item in value.items():
        yield from flat(item, f"{name}.{key}" if name else key)
