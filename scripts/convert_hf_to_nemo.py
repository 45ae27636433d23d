"""Convert a Hugging Face Mistral or Llama folder into a NeMo 2.1.0 archive.

Needs torch and sentencepiece, not NeMo, and no GPU. Memory holds one tensor at a time and the
disk one copy of the weights; any tensor and pipeline parallel size can load the result.
"""

import argparse
from pathlib import Path

from cai.core.cli import run
from cai.provenance.manifest import identity, read_origin, write_manifest


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="config.json, tokenizer.model, *.safetensors")
    parser.add_argument("archive", type=Path, help="the .nemo to write")
    parser.add_argument(
        "--dtype",
        choices=["bf16", "fp32", "source"],
        default="source",
        help="dtype of the weights; source keeps every bit (default)",
    )
    options = parser.parse_args()
    from cai.conversion.convert import hf_to_nemo  # needs torch; --help does not

    hf_to_nemo(options.folder, options.archive, options.dtype)
    origin = read_origin(options.folder)
    write_manifest(
        options.archive,
        what="conversion",
        inputs={str(options.folder): identity(options.folder)},
        settings={"dtype": options.dtype},
        model={name: origin.get(name) for name in ("source", "revision")},
    )


if __name__ == "__main__":
    run(main)
