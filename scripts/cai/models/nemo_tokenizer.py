"""Where a ``.nemo`` has its tokenizer, whichever kind it is.

NeMo packs a sentencepiece model as an artifact. A Hugging Face tokenizer it looks up by a folder's
name, which is of one machine: so ours has the folder within it, and names it by a relative path.
Wherever the archive is unpacked, the name becomes that of the unpacked folder
(:func:`settle_in_folder`); what NeMo saves gets the folder again (:func:`complete`).
"""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cai.core.errors import UserError
from cai.files.members import CONFIG, Members
from cai.models.tokenizer_kinds import (
    FILES,
    TOKENIZER_CONFIG,
    TOKENIZER_JSON,
    HuggingFace,
    Kind,
    SentencePiece,
)

LIBRARY = "huggingface"
FOLDER = "hf_tokenizer"
PLACE = f"./{FOLDER}"
REWRITTEN = (CONFIG, f"{FOLDER}/{TOKENIZER_CONFIG}")  # in an unpacked folder
ANY_CLASS = "PreTrainedTokenizerFast"  # takes tokenizer.json as it is
FIELDS: Mapping[str, Any] = {
    "library": LIBRARY,
    "type": PLACE,
    "model": None,
    "vocab_file": None,
    "merge_file": None,
    "delimiter": None,
    "sentencepiece_legacy": False,
    "use_fast": True,
}


def read_tokenizer(members: Members) -> Kind:
    """The tokenizer of an archive.

    Raises:
        UserError: it has none, or one of another kind.
    """
    where = str(members.path)
    files = files_of(members)
    if TOKENIZER_JSON in files:
        return HuggingFace(files, where)
    # of a sentencepiece model the first: an archive may hold it twice
    name = next((name for name in members if name.endswith("tokenizer.model")), None)
    if name is None:
        raise UserError(f"{where}: holds no tokenizer.model, and no {FOLDER}/{TOKENIZER_JSON}")
    return SentencePiece(members.read(name), where)


def holds_huggingface(archive: Path) -> bool:
    """Whether a file is a ``.nemo`` with a Hugging Face tokenizer in it."""
    if archive.suffix != ".nemo" or not archive.is_file():
        return False
    try:
        with Members(archive) as members:
            return f"{FOLDER}/{TOKENIZER_JSON}" in members
    except UserError:  # whoever loads it says what is wrong with it
        return False


def files_of(members: Members) -> dict[str, bytes]:
    """What an archive has of a tokenizer's files, by name."""
    names = {name: f"{FOLDER}/{name}" for name in FILES}
    return {name: members.read(place) for name, place in names.items() if place in members}


def settle_in_folder(partial: Path, folder: Path) -> None:
    """Have NeMo find the tokenizer of an unpacked archive.

    Args:
        partial: where it is unpacked.
        folder: what that is called afterwards.
    """
    own = partial / FOLDER / TOKENIZER_JSON
    if not own.is_file():
        return
    path = partial / CONFIG
    config = yaml.safe_load(path.read_text("utf-8"))
    config["tokenizer"] = {**config["tokenizer"], "type": str((folder / FOLDER).resolve())}
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    described = own.with_name(TOKENIZER_CONFIG)
    known = json.loads(described.read_text("utf-8")) if described.is_file() else {}
    # The classes of some models change what tokenizer.json says, and older versions lack others.
    described.write_text(json.dumps(known | {"tokenizer_class": ANY_CLASS}), "utf-8")


def complete(archive: Path, lender: Path) -> None:
    """Give an archive that NeMo has saved the tokenizer of the one that it was made from.

    Its members are added at the end: in a tar, the later one of two counts. Does nothing for
    archives with another kind of tokenizer, and to one that has it.
    """
    with Members(archive) as members:
        config = members.config()
        if (config.get("tokenizer") or {}).get("library") != LIBRARY or TOKENIZER_JSON in files_of(
            members
        ):
            return
    with Members(lender) as members:
        files = files_of(members)
    if not files:
        return
    config["tokenizer"] = {**config["tokenizer"], "type": PLACE}
    added = {f"{FOLDER}/{name}": content for name, content in files.items()}
    text = yaml.safe_dump(config, sort_keys=False).encode()
    with tarfile.open(archive, "a:", format=tarfile.GNU_FORMAT) as tar:
        for name, content in {**added, CONFIG: text}.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
