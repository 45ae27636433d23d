"""Manifests: what an artefact is made of, in a small file beside it.

A manifest names the inputs by their content, the settings and principles that the program was
given, the code and the software, where and when it ran, and what of the records became of them.
:mod:`cai.lineage` follows the inputs to theirs.
"""

import hashlib
import json
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from pydantic import BaseModel

from cai.conversion.model_identity import model_identity
from cai.core.digests import digest, file_digest
from cai.core.errors import UserError, fail_if
from cai.files.records import Ledger, read_json, write_json
from cai.provenance import software
from cai.running.attempts import Entry
from cai.running.launch import Launch
from cai.settings.constitution import TEXTS

SUFFIX = ".manifest.json"
SILENT = {"log", "journal", "url", "launch", "principles"}  # options that settings leave out
BLOCK, BLOCKS = 4096, 256  # bytes of a block of a file's sample, and how many there are
ORIGIN = "origin.json"  # in the folder of a model that was fetched


class Manifest(TypedDict, total=False):
    """What a manifest says of an artefact; which of it depends on what made it."""

    artefact: str
    path: str
    sha256: str
    size: int
    identity: str
    sample: str
    written: str
    code: dict[str, Any]
    software: dict[str, Any]
    host: str
    process: int
    started: str | None
    seconds: float
    gpus: int
    gpu_hours: float
    what: str
    inputs: dict[str, str]
    sources: list[dict[str, Any]]
    settings: dict[str, Any]
    principles: dict[str, dict[str, str]]
    ledger: dict[str, Any]
    fingerprint: str
    command: list[str]
    critic: list[str]
    merged: dict[str, str]
    attempts: list[Entry]
    model: dict[str, Any]
    adopted: list[dict[str, Any]]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(fits, value))


def _is_named(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value)) and all(map(fits, value.values()))


def _has(value: Any, fits: Callable[[Any], bool], *names: str) -> bool:
    return isinstance(value, dict) and all(fits(value.get(name)) for name in names)


def _is_principle(value: Any) -> bool:
    return isinstance(value, dict) and any(_is_text(value.get(name)) for name in TEXTS)


def _is_adoption(value: Any) -> bool:
    return _has(value, _is_text, "when", "who", "why") and _is_list(value.get("reasons"), _is_text)


# What a field must be, where it is: whoever reads a manifest relies on it.
FORM: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        ("artefact", "path", "sha256", "identity", "sample", "written", "host", "what"),
        (_is_text, "a text"),
    ),
    **dict.fromkeys(
        ("size", "seconds", "gpus", "gpu_hours"),
        (lambda value: value is None or _is_number(value), "a number"),
    ),
    **dict.fromkeys(("code", "software", "settings", "model"), (_is_object, "an object")),
    **dict.fromkeys(("command", "critic"), (lambda value: _is_list(value, _is_text), "texts")),
    "inputs": (lambda value: _is_named(value, _is_text), "paths with their digests"),
    "ledger": (lambda value: _has(value, _is_number, "in", "out"), "counts, in and out"),
    "sources": (
        lambda value: _is_list(value, lambda each: _has(each, _is_text, "source", "split")),
        "objects with source and split",
    ),
    "principles": (
        lambda value: _is_named(value, _is_principle),
        "principles by id, each with its texts",
    ),
    "merged": (lambda value: _has(value, _is_text, "adapters", "base"), "adapters and base"),
    "adopted": (
        lambda value: _is_list(value, _is_adoption),
        "objects with when, who, why and reasons",
    ),
    "attempts": (
        lambda value: _is_list(value, lambda each: _has(each, _is_number, "seconds", "gpus")),
        "objects with seconds and gpus",
    ),
}


def read_manifest(artefact: Path | str) -> Manifest:
    """The manifest of an artefact.

    Raises:
        UserError: there is none, or it is no manifest; the file and the field.
    """
    return load_manifest(manifest_path(artefact))


def load_manifest(path: Path) -> Manifest:
    """A manifest, by its own path; see :func:`read_manifest`."""
    content = read_json(path)
    fail_if(not isinstance(content, dict), f"{path}: not a manifest (no JSON object)")
    for field, (fits, accepted) in FORM.items():
        fail_if(
            field in content and not fits(content[field]),
            f"{path}: {field}: found {content.get(field)!r:.100}; accepted: {accepted}",
        )
    manifest: Manifest = content
    fail_if(not content_digest(manifest), f"{path}: not a manifest (no sha256)")
    return manifest


def manifest_path(artefact: Path | str) -> Path:
    """``rl_cai.nemo`` has its manifest in ``rl_cai.manifest.json``."""
    path = Path(artefact)
    fail_if(not path.name, f"{artefact}: not an artefact; accepted: a file of the results")
    return path.with_suffix(SUFFIX)


def identity(path: Path | str) -> str:
    """What a file is, by its content: SHA-256 (hex).

    A model's is that of its weights, tokenizer and architecture
    (:mod:`cai.conversion.model_identity`). It is in its manifest, so that a large one is read
    once and not by each job; a manifest of an older form has the digest of the file, which then
    stays its identity. A folder's is that of its files' names and contents.
    """
    path, manifest = Path(path), manifest_path(path)
    if path.is_dir():
        return digest(read_origin(path).get("files") or files_of(path))
    if path.suffix == ".nemo" and manifest.exists():
        known = read_manifest(path)
        digested = content_digest(known)
        if digested and _is_untouched(path, manifest, known):
            return digested
    status = path.stat()
    return _read(path, status.st_size, status.st_ctime_ns)


def content_digest(manifest: Manifest) -> str | None:
    """The :func:`identity` of an artefact, as its manifest says."""
    return manifest.get("identity") or manifest.get("sha256")


def _is_untouched(path: Path, manifest: Path, known: Manifest) -> bool:
    """Whether a model's file is still the one that its manifest describes; a quick check.

    Snakemake touches outputs in the order in which a rule names them, and rules name the manifest
    after its file: one that was modified later is another. The change time says more, as no program
    can set it, but it says too much: a hard link that is removed, a copy of the whole folder renew
    it. After such a change a sample of the content decides, which no other model has.
    """
    status, written = path.stat(), manifest.stat().st_mtime_ns
    if known.get("size") != status.st_size or status.st_mtime_ns > written:
        return False
    return status.st_ctime_ns <= written or known.get("sample") == _sample(path)


def _sample(path: Path) -> str:
    """A digest of blocks from all over a file: of the first, of the last, evenly between them."""
    last = max(path.stat().st_size - BLOCK, 0)
    hashed = hashlib.sha256()
    with open(path, "rb", buffering=0) as stream:
        for number in range(BLOCKS):
            stream.seek(last * number // (BLOCKS - 1))
            hashed.update(stream.read(BLOCK))
    return hashed.hexdigest()


@cache
def _read(path: Path, size: int, changed: int) -> str:
    """The identity of a file that has this size and change time: read once by a process."""
    if path.suffix == ".nemo":
        try:
            return model_identity(path)
        except UserError:  # whatever it is, its bytes identify it
            pass
    return file_digest(path)


def files_of(folder: Path) -> dict[str, str]:
    """The digests of a model folder's files by their names, none of those that are hidden."""
    files = sorted(path for path in folder.glob("[!.]*") if path.is_file() and path.name != ORIGIN)
    return {path.name: file_digest(path) for path in files}


def write_origin(folder: Path, source: str, revision: str | None) -> None:
    """Write into the folder of a model where it came from, and its files by their content."""
    origin = {"source": source, "revision": revision, "files": files_of(folder)}
    write_json(folder / ORIGIN, origin)


def read_origin(folder: Path) -> dict[str, Any]:
    """What :func:`write_origin` wrote, if no file of the folder was touched since; else empty."""
    path = folder / ORIGIN
    if not path.is_file():
        return {}
    written = path.stat().st_mtime_ns
    content: Any = read_json(path)
    named = content.get("files", {}) if isinstance(content, dict) else None
    if not isinstance(named, dict) or not _is_named(named, _is_text):
        raise UserError(f"{path}: files: found {named!r:.100}; accepted: names with their digests")
    known: dict[str, Any] = content
    files = [folder / name for name in named]
    untouched = all(file.is_file() and file.stat().st_ctime_ns <= written for file in files)
    return known if untouched else {}


def write_manifest(artefact: Path | str, **facts: Any) -> None:
    """Write the manifest of an artefact: its digest and size, what made it, and the facts given."""
    artefact = Path(artefact)
    write_json(
        manifest_path(artefact),
        {
            "artefact": artefact.name,
            "path": str(artefact),
            **_content(artefact),
            "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "code": software.code(),
            "software": software.software(),
            **software.job(),
            **facts,
        },
    )


def _content(artefact: Path) -> dict[str, Any]:
    """The file's digest and size; a model's identity, and what it is known by until it changes."""
    status = artefact.stat()
    found = {"sha256": file_digest(artefact), "size": status.st_size}
    if artefact.suffix != ".nemo":
        return found
    model = _read(artefact, status.st_size, status.st_ctime_ns)
    return {**found, "identity": model, "sample": _sample(artefact)}


def record(
    options: Namespace,
    *outputs: str,
    what: str = "",
    ledger: Ledger | Sequence[Ledger] | None = None,
) -> None:
    """Write the manifests of what a program has made, from the options that it was given.

    Files among the options are inputs, known by their content; principles are named by their ids;
    the rest are settings, except where things are logged, journalled and launched.

    Args:
        options: as the program has parsed them.
        outputs: the options that name what it has written.
        what: the step; the ledger's if there is one.
        ledger: of all outputs, or one of each.
    """
    given = vars(options)
    made = [Path(path) for name in outputs for path in _listed(given[name])]
    known = {name: value for name, value in given.items() if name not in {*outputs, *SILENT}}
    launch = given.get("launch") or Launch()
    facts = {
        "what": what,
        "inputs": {str(path): identity(path) for path in _inputs(known.values(), made)},
        "sources": [source for value in known.values() for source in _sources(value)],
        "settings": {
            name: _plain(value)
            for name, value in known.items()
            if not _is_path(value) and value is not None
        },
        "principles": _principles(given.get("principles") or []),
        "software": software.software(),
        **software.job(launch.gpus),
    }
    if given.get("server"):
        facts["software"] = facts["software"] | {"nemo": software.nemo(given["server"], launch)}
    ledgers = [ledger] * len(made) if ledger is None or isinstance(ledger, Ledger) else ledger
    for path, own in zip(made, ledgers, strict=True):
        counts = {"what": own.step, "ledger": own.counts()} if own else {}
        write_manifest(path, **{**facts, **counts})


def principle_digest(texts: dict[str, Any]) -> str:
    """The identity of a principle's texts: 16 hex digits."""
    return digest(texts)[:16]


def _principles(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """The principles of a command line by id, each with its texts and their digest."""
    from cai.settings.constitution import load_constitution  # not where checkpoints are converted

    if len(texts) == 1 and not texts[0].startswith("{"):
        loaded = load_constitution(texts[0])
        read = [principle.model_dump(exclude_none=True) for principle in loaded]
    else:
        read = [json.loads(text) for text in texts]
    return {
        principle["id"]: {"digest": principle_digest(own), **own}
        for principle in read
        for own in [{key: text for key, text in principle.items() if key != "id"}]
    }


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _is_path(value: Any) -> bool:
    return bool(_listed(value)) and all(isinstance(item, Path) for item in _listed(value))


def _inputs(values: Iterable[Any], made: Sequence[Path]) -> Iterator[Path]:
    for value in values:
        for item in _listed(value):
            paths = [item] if isinstance(item, Path) else getattr(item, "files", [])
            yield from (path for path in paths if path.is_file() and path not in made)


def _sources(value: Any) -> Iterator[dict[str, Any]]:
    """The datasets among the options: name, revision, and the files if they are this machine's."""
    for item in _listed(value):
        if hasattr(item, "is_local"):
            yield {**item.model_dump(mode="json"), "files": [str(path) for path in item.files]}


def _plain(value: Any) -> Any:
    """An option's value as JSON has it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
