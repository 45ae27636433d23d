"""What every program's command line has in common."""

import argparse
import difflib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from cai.core.errors import UserError
from cai.core.numbered import unfolded
from cai.core.orphans import end_with_workflow
from cai.core.shown import shown

NEMOS = {"torch", "sentencepiece", "nemo", "nemo_aligner"}  # modules of NeMo's environment
LONGEST = 300  # characters of a value that a message shows
Model = TypeVar("Model", bound=BaseModel)
FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EFBIG: "the file would be larger than the system or a limit (ulimit -f) allows",
}
REFUSED = {
    errno.EACCES: "no permission; give it to yourself, or choose another place",
    errno.EPERM: "no permission; give it to yourself, or choose another place",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EISDIR: "is a folder, where a file is needed; move it away",
    errno.ENOTDIR: "a file is where a folder is needed; move it away",
    errno.EEXIST: "a file is where a folder is needed; move it away",
    errno.ENOENT: "no such file or folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EMFILE: "too many files are open (ulimit -n)",
    errno.ESTALE: "the file has gone from the server that shares it; run the same command again",
}


def run(main: Callable[[], None]) -> None:
    """Call ``main`` and end the process: one line for a user's mistake, never a stack trace for it.

    Exit codes: 0 done, 2 a user's mistake, 3 the disk is full, 130, 141 and 143 interrupted.
    SIGTERM is turned into an exception, so that ``finally`` clauses stop servers.
    """
    signal.signal(signal.SIGTERM, _raise_terminated)
    end_with_workflow()
    _take_any_text()
    sys.argv[1:] = unfolded(sys.argv[1:])
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEMOS:
            raise
        _leave(
            f"this program needs {error.name}, which {sys.executable} does not have; run it with "
            "NeMo's Python (nemo.python of the configuration), such as envs/nemo-cpu/python",
            2,
        )
    except UserError as error:
        _leave(str(error), 2)
    except KeyboardInterrupt:
        _leave("interrupted; run the same command again to continue", 130)
    except BrokenPipeError:  # whoever read our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None
    except OSError as error:
        if error.errno is None:  # not the system's, but a library's
            raise
        full = error.errno in FULL
        _leave(system_error(error), 3 if full else 2)


def system_error(error: OSError) -> str:
    """What the operating system refused, in one line that names the file."""
    where = f"{error.filename}: " if error.filename else ""
    number = error.errno or 0  # of none, there is none
    if number in FULL:
        writing = f" while writing {error.filename}" if error.filename else ""
        return f"{FULL[number]}{writing}; free some space and run the same command again"
    return where + REFUSED.get(number, error.strerror or str(error))


def _take_any_text() -> None:
    """Read U+FFFD for what is no UTF-8, and escape what the terminal cannot show."""
    ways = {sys.stdin: "replace", sys.stdout: "backslashreplace", sys.stderr: "backslashreplace"}
    for stream, way in ways.items():
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=way)


def _raise_terminated(signum: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the clean-up must not be interrupted in turn
    raise SystemExit(128 + signum)


def _leave(message: str, code: int) -> None:
    print(f"error: {shown(message)}", file=sys.stderr, flush=True)
    raise SystemExit(code)


def split_commands(argv: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Split ``own options -- first command -- second command`` at each ``--``.

    >>> split_commands(["--out", "x", "--", "serve", "a=1", "--", "train"])
    (['--out', 'x'], [['serve', 'a=1'], ['train']])
    """
    parts: list[list[str]] = [[]]
    for argument in argv:
        if argument == "--":
            parts.append([])
        else:
            parts[-1].append(argument)
    return parts[0], parts[1:]


def json_option(model: type[Model]) -> Callable[[str], Model]:
    """An argparse ``type`` that reads a JSON object into a pydantic model."""

    def parse(text: str) -> Model:
        try:
            return model.model_validate_json(text)
        except ValidationError as error:
            raise UserError(f"option {model.__name__.lower()}: {describe(error)}") from None

    return parse


def add_json_option(
    parser: argparse._ActionsContainer, flag: str, model: type[BaseModel], text: str
) -> None:
    """Give a program an option that is a JSON object; without it, the model's own defaults hold."""
    parser.add_argument(flag, type=json_option(model), default=model(), metavar="JSON", help=text)


def positive(text: str) -> int:
    """An argparse ``type``: a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


def add_options(parser: argparse.ArgumentParser, model: type[BaseModel]) -> None:
    """Give a program one option a field of a model; :func:`read_options` reads them."""
    for name, field in model.model_fields.items():
        flag = "--" + name.replace("_", "-")
        if field.annotation is bool:
            parser.add_argument(flag, action="store_true", help=field.description)
        else:
            text = f"{field.description} (default: {field.default})"
            parser.add_argument(flag, default=field.default, help=text)


def read_options(model: type[Model], options: argparse.Namespace) -> Model:
    """The model with the values of the command line; what is wrong is a :class:`UserError`."""
    try:
        return model(**{name: getattr(options, name) for name in model.model_fields})
    except ValidationError as error:
        raise UserError(f"option {describe(error)}") from None


def existing_file(text: str) -> Path:
    """An argparse ``type``: the path of a file that exists."""
    path = Path(text)
    if not path.is_file():
        raise UserError(f"{text}: no such file")
    return path


def describe(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """The first complaint of a validation error as ``field: what is wrong, found ...``.

    With ``model``, an unknown field is reported with the one that was probably meant, or with all.
    """
    field, complaint = field_and_complaint(error, model)
    return f"{field}: {complaint}" if field else complaint


def field_and_complaint(
    error: ValidationError, model: type[BaseModel] | None = None
) -> tuple[str, str]:
    """The same in its two parts.

    What is wrong with the whole, such as two fields that do not go together, is no field's.
    """
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return field, f"unknown field{_meant(first['loc'], model)}{more}"
    found = first.get("input")
    missing = first["type"] == "missing" or isinstance(found, dict | list | BaseModel)
    shown = "" if missing else f", found {_short(repr(found))}"
    return field, f"{first['msg'].removeprefix('Value error, ')}{shown}{more}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _meant(location: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    fields = _fields(location[:-1], model) if model else []
    close = difflib.get_close_matches(str(location[-1]), fields, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; accepted are {', '.join(fields)}" if fields else ""


def _fields(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The names that the section at this place of a configuration takes."""
    for part in location:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = next(_models(field.annotation), model)
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
