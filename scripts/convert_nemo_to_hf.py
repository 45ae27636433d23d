"""Convert a NeMo archive into a Hugging Face folder: a language model, or a reward model.

Takes what convert_hf_to_nemo.py writes and what NeMo-Aligner's trainings write. Needs torch
and sentencepiece, not NeMo, and no GPU; the weights are read inside the archive.
"""

import argparse
import shutil
from pathlib import Path

from cai.core.cli import run
from cai.core.errors import UserError
from cai.files.records import write_json
from cai.models.own_template import resolved, template_option
from cai.provenance.manifest import identity

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def size(text: str) -> int:
    """Bytes in a size such as ``5GB`` or ``200MB``."""
    number, unit = text[:-2], text[-2:].upper()
    if unit not in UNITS or not number.isdigit() or int(number) == 0:
        raise UserError(f"--max-shard-size: found {text!r}; accepted: e.g. 200MB, 5GB")
    return int(number) * UNITS[unit]


def main() -> None:
    """Read the command line and convert."""
    options = _parser().parse_args()
    from cai.conversion.convert import nemo_to_hf  # needs torch; --help does not

    if options.mark and options.folder.is_dir():
        shutil.rmtree(options.folder)
    nemo_to_hf(
        options.archive,
        options.folder,
        options.template,
        options.dtype,
        options.max_shard_size,
        None if options.chat is None else resolved(options.chat, options.archive),
    )
    if options.mark:
        write_json(options.mark, {"folder": options.folder.name, "nemo": identity(options.archive)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="the .nemo to read")
    parser.add_argument("folder", type=Path, help="the folder to write; must be empty or absent")
    parser.add_argument(
        "--template",
        type=Path,
        metavar="FOLDER",
        help="a model folder that lends its config.json and tokenizer files",
    )
    parser.add_argument(
        "--chat",
        type=template_option,
        metavar="JSON",
        help="the chat template that the model was trained in (models.base.template of the "
        "configuration; auto: the model's own): written into the folder, with the tokens that end "
        "an answer",
    )
    parser.add_argument(
        "--dtype",
        choices=["bf16", "fp32", "source"],
        default="source",
        help="dtype of the weights; source keeps every bit (default)",
    )
    parser.add_argument(
        "--max-shard-size",
        type=size,
        default=size("5GB"),
        metavar="SIZE",
        help="split the weights into files of at most this size (default 5GB)",
    )
    parser.add_argument(
        "--mark",
        type=Path,
        metavar="FILE",
        help="JSON file to write when the folder is whole; an earlier export is then replaced",
    )
    return parser


if __name__ == "__main__":
    run(main)
