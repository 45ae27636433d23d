"""A pickle read as data: nothing that it names is imported, called or changed.

Unpickling runs what a pickle asks for, and a list of modules that it may name is no guard: a module
also has the names that it imports, and the state of a class can be changed as well as an object's.
So the pickle's own small language is read here, as far as torch's files use it. What it would look
up is a :class:`Name`, what it would make is a :class:`Made`; each name must be on a list.
"""

import pickletools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

DEEPEST = 100  # tuples, lists and objects in each other
MOST = 10**8  # steps, more than the index of the largest model takes


class BadPickle(Exception):
    """What is wrong with a pickle."""


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Made:
    """An object that a pickle describes: what makes it, with which arguments, and its state."""

    name: Name
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(eq=False)
class Reference:
    """Something beside the pickle, such as a tensor's numbers."""

    key: Any


class _Mark:
    """Where the parts of a tuple, list or dictionary begin on the stack."""


MARK = _Mark()
KEYS = (str, int, Made)  # what a dictionary's key may be


def read_pickle(content: bytes, allowed: Collection[tuple[str, str]]) -> Any:
    """What a pickle describes, of plain values, :class:`Name`, :class:`Made`, :class:`Reference`.

    Args:
        content: the pickle.
        allowed: the names (module, name) that it may contain.

    Raises:
        BadPickle: it names something else, does what no file of torch's does, or is damaged.
    """
    try:
        return _Reader(allowed).read(content)
    except BadPickle:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError):
        raise BadPickle("not a pickle, or cut short") from None


class _Reader:
    def __init__(self, allowed: Collection[tuple[str, str]]) -> None:
        self._allowed = allowed
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, content: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if opcode.name == "STOP":
                (value,) = self._stack
                check_depth(value)
                return value
            step = STEPS.get(opcode.name)
            if step is None or count > MOST:
                raise BadPickle(f"unexpected {opcode.name}")
            step(self, argument)
        raise BadPickle("not a pickle, or cut short")

    # What is on the stack

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is MARK:
            raise BadPickle("not a pickle, or cut short")
        return value

    def since_mark(self) -> list[Any]:
        at = max(place for place, value in enumerate(self._stack) if value is MARK)
        values = self._stack[at + 1 :]
        del self._stack[at:]
        return values

    # The memo, from which a value is fetched again

    def memoize(self, number: int | None = None) -> None:
        self._memo[len(self._memo) if number is None else number] = self._stack[-1]

    def get(self, number: int) -> None:
        self.push(self._memo[number])

    # Values made of others

    def tuple(self, count: int | None = None) -> None:
        parts = self.since_mark() if count is None else [self.pop() for _ in range(count)][::-1]
        self.push(tuple(parts))

    def append(self, values: list[Any]) -> None:
        self._last(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is Made and str(target.name) == "collections.OrderedDict":
            target.state = target.state or {}
            target = target.state
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in KEYS or type(target) is not dict:
                raise BadPickle("unexpected kind of dictionary")
            target[key] = value

    def name(self, module: str, name: str) -> None:
        if type(module) is not str or type(name) is not str or (module, name) not in self._allowed:
            raise BadPickle(f"unexpected {module}.{name}")
        self.push(Name(module, name))

    def make(self) -> None:
        arguments, name = self.pop(), self.pop()
        if type(name) is not Name or type(arguments) is not tuple:
            raise BadPickle("it calls something that is no class")
        self.push(Made(name, arguments))

    def build(self) -> None:
        """Give an object its state; an object, never a class or what it was made of."""
        state = self.pop()
        self._last(Made).state = state

    def _last(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise BadPickle(f"it changes something that is no {kind.__name__.lower()}")
        return self._stack[-1]


def check_depth(value: Any) -> None:
    """Refuse a value that holds itself, or holds others too deeply to be walked through."""
    done: dict[int, int] = {}  # a value's greatest depth below it, so that shared ones count once
    path: set[int] = set()
    work: list[tuple[Any, bool]] = [(value, False)]
    while work:
        item, left = work.pop()
        inner = parts(item)
        if left:
            path.discard(id(item))
            done[id(item)] = 1 + max((done.get(id(part), 0) for part in inner), default=0)
            if done[id(item)] > DEEPEST:
                raise BadPickle("nested too deeply")
        elif id(item) in path:
            raise BadPickle("it holds itself")
        elif inner and id(item) not in done:
            path.add(id(item))
            work.append((item, True))
            work.extend((part, False) for part in inner)


def parts(value: Any) -> list[Any]:
    """The values of which a value is made."""
    if type(value) in (tuple, list):
        return list(value)
    if type(value) is dict:
        return [*value, *value.values()]
    if type(value) is Made:
        return [value.arguments, value.state]
    return [value.key] if type(value) is Reference else []


def _constant(make: Callable[[], Any]) -> Callable[[_Reader, Any], None]:
    return lambda reader, _: reader.push(make())


def _nothing(reader: _Reader, _: Any) -> None:
    """What only helps to read."""


def _named(reader: _Reader, argument: str) -> None:
    reader.name(*argument.split(" ", 1))


def _named_on_stack(reader: _Reader, _: Any) -> None:
    name, module = reader.pop(), reader.pop()
    reader.name(module, name)


def _pair(reader: _Reader, _: Any) -> None:
    value, key = reader.pop(), reader.pop()
    reader.set_items([key, value])


PLAIN = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINBYTES", "SHORT_BINBYTES"),
)
STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    **dict.fromkeys(["PROTO", "FRAME"], _nothing),
    **dict.fromkeys(PLAIN, _Reader.push),
    "NONE": _constant(lambda: None),
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    "EMPTY_TUPLE": _constant(tuple),
    "EMPTY_LIST": _constant(list),
    "EMPTY_DICT": _constant(dict),
    "MARK": _constant(lambda: MARK),
    "TUPLE": lambda reader, _: reader.tuple(),
    "TUPLE1": lambda reader, _: reader.tuple(1),
    "TUPLE2": lambda reader, _: reader.tuple(2),
    "TUPLE3": lambda reader, _: reader.tuple(3),
    "APPEND": lambda reader, _: reader.append([reader.pop()]),
    "APPENDS": lambda reader, _: reader.append(reader.since_mark()),
    "SETITEM": _pair,
    "SETITEMS": lambda reader, _: reader.set_items(reader.since_mark()),
    "MEMOIZE": lambda reader, _: reader.memoize(),
    "BINPUT": _Reader.memoize,
    "LONG_BINPUT": _Reader.memoize,
    "BINGET": _Reader.get,
    "LONG_BINGET": _Reader.get,
    "GLOBAL": _named,
    "STACK_GLOBAL": _named_on_stack,
    "REDUCE": lambda reader, _: reader.make(),
    "NEWOBJ": lambda reader, _: reader.make(),
    "BUILD": lambda reader, _: reader.build(),
    "BINPERSID": lambda reader, _: reader.push(Reference(reader.pop())),
}
