#!/usr/bin/env python
"""Copy a pretrained model into a folder: from a hub at a pinned revision, or from a local folder.

The hub's own environment variables are honoured (HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN).
"""

import argparse
import shutil
from pathlib import Path

from cai.core import cli
from cai.core.errors import UserError
from cai.models.shape import read_hf
from cai.models.tokens import SENTENCEPIECE, tokenizer_that_fits
from cai.provenance.manifest import write_origin

SMALL = ["*.json", "*.jinja", SENTENCEPIECE, "*.txt"]
WEIGHTS = ["*.safetensors"]


def main() -> None:
    """Read the options and fetch the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="hub name, or a local folder ending in /")
    parser.add_argument("--revision", default="", help="commit of the hub repository")
    parser.add_argument("--output", required=True, type=Path, help="folder to make")
    options = parser.parse_args()
    local = options.source.endswith("/") or options.source.startswith((".", "/"))
    if local:
        copy_folder(Path(options.source), options.output)
    else:
        download(options.source, options.revision, options.output)
    write_origin(options.output, options.source, options.revision or None)


def copy_folder(source: Path, output: Path) -> None:
    """Copy the files of a local model folder."""
    if not (source / "config.json").is_file():
        raise UserError(f"{source}: not a Hugging Face model folder (config.json is missing)")
    check(source, str(source / "config.json"))
    output.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file():
            shutil.copyfile(path, output / path.name)


def download(name: str, revision: str, output: Path) -> None:
    """Download what a conversion needs of a hub repository; the weights only of a model it takes.

    ``config.json`` comes first, then the other small files with the tokenizer, then the weights.

    Raises:
        UserError: when the hub cannot be reached or refuses, or the model cannot be converted.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from requests.exceptions import RequestException

    where = f"{name}@{revision}: config.json"
    try:
        config = hf_hub_download(name, "config.json", revision=revision, local_dir=output)
        read_hf(Path(config), where)
        for wanted in (SMALL, WEIGHTS):
            snapshot_download(name, revision=revision, local_dir=output, allow_patterns=wanted)
            check(output, where)
    except (HfHubHTTPError, LocalEntryNotFoundError, RequestException, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"models: {name}@{revision} could not be downloaded ({reason}); name a mirror "
            "(HF_ENDPOINT), fill the cache (HF_HOME), log in (HF_TOKEN), or give a local folder"
        ) from None


def check(folder: Path, where: str) -> None:
    """Refuse a model that the conversion would refuse, and one whose tokenizer cannot be used."""
    tokenizer_that_fits(folder, read_hf(folder / "config.json", where).vocab, where)


if __name__ == "__main__":
    cli.run(main)
