"""Where records come from: a dataset of a hub, a file of a GitHub repository, or local files."""

import errno
import glob
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import requests
from pydantic import Field, model_serializer, model_validator
from pydantic import SerializerFunctionWrapHandler as Serializer

from cai.core.errors import UserError, fail_if
from cai.core.fields import Section, check_hub_name, refuse_leftover
from cai.files.records import Ledger, Record
from cai.files.rows import SUFFIXES, read_rows

GITHUB = re.compile(r"github:(?P<repository>[\w.-]+/[\w.-]+)/(?P<path>.+)")
COMMIT, SHA256 = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}")
RAW = "https://raw.githubusercontent.com"  # of GitHub; a mirror is named in GITHUB_RAW_URL
DOWNLOAD_TIMEOUT = 60.0  # seconds without a byte
SPLITS = {"train": "train", "test": "test", "validation": "validation", "valid": "validation"}
SPLIT_WORD = re.compile(r"(?:^|[^a-z])(train|test|validation|valid)(?![a-z])")


class Source(Section):
    """A source of records: JSON Lines, a JSON list (both perhaps gzipped), CSV or Parquet.

    The files are this machine's, those of a dataset repository on the Hugging Face hub at a pinned
    revision, or one file of a GitHub repository (``github:owner/name/path``) at a pinned commit and
    of a pinned content. The hub's own environment variables (HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE,
    HF_TOKEN) are honoured; GITHUB_RAW_URL names a mirror of raw.githubusercontent.com.
    """

    source: str = Field(
        min_length=1,
        description="Hub name, github:owner/name/path, local file, or pattern such as a/*.jsonl.",
    )
    data_dir: str | None = Field(None, description="Folder within the hub repository.")
    split: str = Field("train", description="Split of the hub dataset; a+b joins two.")
    revision: str | None = Field(
        None, description="Commit of the hub's or GitHub's repository; required for one."
    )
    sha256: str | None = Field(
        None, description="Digest of a GitHub repository's file; required for one."
    )
    records: int | None = Field(
        None,
        ge=1,
        exclude=True,  # a plan's alone: no result depends on it
        description="How many there are, for plans before they are downloaded.",
    )
    split_field: str | None = Field(
        None, description="Field that says train or test; null: split by the hash of the prompt."
    )

    @model_serializer(mode="wrap")
    def _without_digest(self, serialize: Serializer) -> Record:
        """A missing digest is left out, so that jobs whose source has none do not run again."""
        return {k: v for k, v in serialize(self).items() if k != "sha256" or v is not None}

    @model_validator(mode="after")
    def _pinned(self) -> "Source":
        if "://" in self.source:
            raise ValueError(
                f"source: found {self.source!r}, an address; accepted: files of this machine "
                f"({', '.join(SUFFIXES)}), owner/name of the Hugging Face hub, or "
                "github:owner/name/path"
            )
        if self.source.startswith("github:"):
            self._check_github()
        elif self.is_local:
            refuse_leftover(self, "revision", "data_dir", "sha256")
        else:
            self._check_hub()
        return self

    def _check_hub(self) -> None:
        """Refuse what is no name of a dataset there, or may change."""
        check_hub_name(self.source, f"a file that ends in {', '.join(SUFFIXES)}")
        if not self.revision:
            raise ValueError(
                f"{self.source!r} is not a local file, and a hub dataset needs a pinned revision "
                "(a commit of its repository)"
            )

    def _check_github(self) -> None:
        """Refuse a file of a GitHub repository whose content is not known beforehand."""
        found = GITHUB.fullmatch(self.source)
        if not found or not found["path"].endswith(SUFFIXES):
            raise ValueError(
                f"expected github:owner/name/path of a file that ends in {', '.join(SUFFIXES)}"
            )
        if not COMMIT.fullmatch(self.revision or ""):
            raise ValueError("a file of GitHub needs a pinned revision (40 hex digits of a commit)")
        if not SHA256.fullmatch(self.sha256 or ""):
            raise ValueError("a file of GitHub needs its sha256 (64 hex digits)")

    @property
    def is_local(self) -> bool:
        """Whether the source is a file (or a pattern of files) of this machine."""
        if self.source.startswith("github:"):
            return False
        looks_local = self.source.startswith(("./", "../", "/"))
        return looks_local or self.source.endswith(SUFFIXES) or Path(self.source).exists()

    @property
    def is_on_hub(self) -> bool:
        """Whether the source is a dataset repository of the Hugging Face hub."""
        return not self.is_local and not self.source.startswith("github:")

    @property
    def files(self) -> list[Path]:
        """The local files of the source, sorted by name; none for a hub dataset.

        A file of this very name comes before a pattern: ``data[1].jsonl`` may be one.

        Raises:
            UserError: if the source is local and no file is there.
        """
        if not self.is_local:
            return []
        named = Path(self.source)
        matches = [named] if named.exists() else map(Path, glob.glob(self.source))
        found = sorted(path for path in matches if not path.is_dir())
        fail_if(
            not found and named.is_dir(),
            f"{self.source}: a folder; name its files, such as {named}/*.jsonl",
        )
        fail_if(not found, f"{self.source}: no such file")
        empty = not any(path.stat().st_size for path in found)
        fail_if(empty, f"{self.source}: no records; at least one is needed")
        return found

    @property
    def label(self) -> str:
        """A short name for records and messages, free of this machine's folders."""
        if self.is_local:
            return Path(self.source).name
        return "/".join(filter(None, (self.source, self.data_dir)))


class ReadOptions(Section):
    """How much of a source is taken, and how bad it may be."""

    seed: int = Field(1234, description="Seed of the order, and with it of what a limit takes.")
    limit: int | None = Field(None, ge=1, description="Most records to take; none: all.")
    max_bad_share: float = Field(
        0.05, ge=0, le=1, description="Share of records that may be unusable before the run ends."
    )


def read_source(source: Source, ledger: Ledger) -> Iterator[tuple[str, Record]]:
    """Yield ``(file:line, record)`` of a source, one at a time.

    Malformed lines go to the ledger.

    Raises:
        UserError: for a file that is missing or of an unknown kind, or a hub out of reach.
    """
    if found := GITHUB.fullmatch(source.source):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(found["path"]).name)
            path.write_bytes(_github_file(source, found["repository"], found["path"]))
            yield from read_rows(path, ledger)
        return
    for path in source.files or _hub_files(source):
        yield from read_rows(path, ledger)


def _github_file(source: Source, repository: str, path: str) -> bytes:
    """The content of a file of a GitHub repository at a commit.

    Raises:
        UserError: it cannot be had, or is not the content that is expected.
    """
    mirror = os.environ.get("GITHUB_RAW_URL", RAW).rstrip("/")
    url = f"{mirror}/{repository}/{source.revision}/{path}"
    try:
        answer = requests.get(url, timeout=DOWNLOAD_TIMEOUT)
        answer.raise_for_status()
    except requests.RequestException as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(
            f"{source.label} (revision {source.revision}): cannot be downloaded: {reason}; name a "
            f"mirror in GITHUB_RAW_URL, or give the file as a local one ({Path(path).name})"
        ) from None
    digest = hashlib.sha256(answer.content).hexdigest()
    fail_if(
        digest != source.sha256,
        f"{source.label} (revision {source.revision}): sha256: expected {source.sha256}, "
        f"found {digest}",
    )
    return answer.content


def _hub_files(source: Source) -> list[Path]:
    """The files of a split, downloaded to (or found in) the Hugging Face cache.

    The split is in the file's name, as the `datasets` library has it: a file whose name says
    nothing is training data.

    Raises:
        UserError: if the hub cannot be reached or has no such split.
    """
    folder = _snapshot(source) / (source.data_dir or "")
    files = sorted(path for path in folder.rglob("*") if path.name.endswith(SUFFIXES))
    splits = {path: _split_of(path.relative_to(folder).as_posix()) for path in files}
    wanted = source.split.split("+")
    missing = sorted(set(wanted) - set(splits.values()))
    fail_if(
        missing,
        f"{source.label} (revision {source.revision}): no files of split {', '.join(missing)}; "
        f"it has {', '.join(sorted(set(splits.values()))) or 'none that can be read'}",
    )
    return [path for path in files if splits[path] in wanted]


def _split_of(path: str) -> str:
    word = SPLIT_WORD.search(path.lower())
    return SPLITS[word[1]] if word else "train"


def _snapshot(source: Source) -> Path:
    import huggingface_hub  # takes a second: not for programs that read local files

    prefix = f"{source.data_dir}/" if source.data_dir else ""
    try:
        folder = huggingface_hub.snapshot_download(
            source.source,
            repo_type="dataset",
            revision=source.revision,
            allow_patterns=[f"{prefix}*{suffix}" for suffix in SUFFIXES],
        )
    except Exception as error:  # the hub's clients raise errors of half a dozen unrelated classes
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{source.label} (revision {source.revision}): cannot be downloaded: "
            f"{type(error).__name__}: {reason}; if this machine does not reach the hub, name a "
            "mirror in HF_ENDPOINT, or fill the cache elsewhere (HF_HOME) and set "
            "HF_HUB_OFFLINE=1, or give a local .jsonl, .json, .csv or .parquet file as the source"
        ) from None
    return Path(folder)
