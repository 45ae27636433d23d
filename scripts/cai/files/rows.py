"""Files of rows, all read here: JSON Lines, a JSON list, CSV, Parquet; gzipped or not.

A row is a flat or nested JSON object. A malformed row goes to the ledger with its place, and
reading continues; a file that cannot be read at all is an error.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from cai.core.errors import UserError, fail_if
from cai.files.documents import Flaw, NotJson, decode
from cai.files.records import BOM, Ledger, Record, open_bytes, read_jsonl_tolerant, unflawed

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet", ".csv", ".csv.gz")
LONGEST_CELL = 2**31 - 1  # characters


def read_rows(path: Path, ledger: Ledger) -> Iterator[tuple[str, Record]]:
    """Yield ``(file:line, row)`` of a file; its name says what kind it is.

    Raises:
        UserError: a file that is missing, of an unknown kind, or no such file inside.
    """
    fail_if(
        not path.name.endswith(SUFFIXES),
        f"{path}: unknown kind of file; accepted are {', '.join(SUFFIXES)}",
    )
    if path.suffix == ".parquet":
        return _counted(_parquet_rows(path), ledger)
    if ".csv" in path.suffixes[-2:]:
        return _counted(_csv_rows(path), ledger)
    if _is_whole(path):
        return _counted(_list_rows(path), ledger)
    return read_jsonl_tolerant(path, ledger)


def _counted(rows: Iterable[tuple[str, Any]], ledger: Ledger) -> Iterator[tuple[str, Record]]:
    """Count the rows; what is no usable object goes to the ledger with the reason."""
    for where, row in rows:
        ledger.count_in()
        checked = unflawed(row)
        if isinstance(checked, str):
            ledger.drop("malformed line", where=where, record=checked)
        else:
            yield where, checked


def _is_whole(path: Path) -> bool:
    """Whether a file is one JSON value: a list, or a task of BIG-bench (an object of examples).

    ``Dataset.to_json`` writes JSON Lines as ``.json``, so the name does not decide.
    """
    if ".jsonl" in path.suffixes:
        return False
    with open_bytes(path) as stream:
        lines = (line.removeprefix(BOM).strip() for line in stream)
        first = next((line for line in lines if line), b"")
    try:
        value = decode(first)
    except NotJson:  # it goes on in the next line, or is malformed
        return first[:1] == b"[" or first == b"{"
    return isinstance(value, list) or (isinstance(value, dict) and "examples" in value)


def _list_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """The items of a list, numbered from 1."""
    with open_bytes(path) as stream:
        try:
            rows = decode(stream.read())
        except NotJson as error:
            raise UserError(f"{path}:{error.line}: not JSON ({error})") from None
    if isinstance(rows, dict):
        rows = rows.get("examples")
    fail_if(not isinstance(rows, list), f"{path}: expected a list, or an object with 'examples'")
    return ((f"{path}:{number}", row) for number, row in enumerate(rows, 1))


def _csv_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a table whose first line names the columns; an empty cell is no field."""
    with open_bytes(path) as stream:
        try:
            text = stream.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not text in UTF-8 (byte {error.start})") from None
    csv.field_size_limit(LONGEST_CELL)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | Flaw = next((cells for _, cells in _csv_lines(lines) if cells), [])
    if isinstance(names, Flaw):
        raise UserError(f"{path}:1: {names.reason}")
    _once(path, names)
    for line, cells in _csv_lines(lines):
        if cells:
            yield f"{path}:{line}", _csv_row(names, cells)


def _csv_lines(lines: Any) -> Iterator[tuple[int, Any]]:
    """The cells of each row, with the number of its first line; a flaw where quotes are amiss."""
    while True:
        line = lines.line_num + 1
        try:
            yield line, next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, Flaw(f"quotes are amiss ({error})")


def _csv_row(names: Sequence[str], cells: Any) -> Any:
    if isinstance(cells, Flaw):
        return cells
    if len(cells) != len(names):
        return Flaw(f"expected {len(names)} cells, found {len(cells)}")
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell}


def _once(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    fail_if(twice, f"{path}:1: the column {twice and twice[0]!r} occurs twice")


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow.parquet

    number = 0
    try:
        file = pyarrow.parquet.ParquetFile(path)
        _once(path, file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=1024):
            columns = [_column(path, name, batch.column(name)) for name in batch.schema.names]
            for values in zip(*columns, strict=True):
                number += 1
                fields = zip(batch.schema.names, map(_plain, values), strict=True)
                yield f"{path}:{number}", {name: v for name, v in fields if v is not None}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a Parquet file ({reason})") from None


def _column(path: Path, name: str, column: Any) -> list[Any]:
    """The values of a column; times that Python does not hold are read as text.

    Raises:
        UserError: the column's type cannot be read.
    """
    import pyarrow

    amiss = (pyarrow.ArrowException, ValueError, TypeError, LookupError, ArithmeticError)
    try:
        return list(column.to_pylist())
    except amiss:
        pass
    try:
        return list(column.cast(pyarrow.string()).to_pylist())
    except amiss:
        raise UserError(f"{path}: column {name!r}: its type {column.type} cannot be read") from None


def _plain(value: Any) -> Any:
    """A value of Parquet as JSON has it; null for NaN, as which pandas writes nulls."""
    if isinstance(value, float):
        return None if math.isnan(value) else value if math.isfinite(value) else _infinite(value)
    if isinstance(value, Decimal):
        return _plain(float(value)) if value % 1 else int(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, UUID) else value


def _infinite(value: float) -> Flaw:
    return Flaw(f"{value} is no number of JSON")


def _text(value: bytes) -> Any:
    """A binary value, which older writers use for text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return Flaw("a binary value that is no text in UTF-8")
