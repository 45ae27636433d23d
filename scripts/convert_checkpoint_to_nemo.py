#!/usr/bin/env python
"""Write a checkpoint that a training kept (train.py --keep-steps) as a .nemo of its own.

Needs torch, not NeMo, and no GPU.
"""

import argparse
from pathlib import Path

from cai.core.cli import existing_file, positive, run
from cai.core.errors import fail_if
from cai.provenance.manifest import read_manifest, write_manifest
from cai.training.checkpoints import kept_folder, kept_steps


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="the .nemo to write")
    parser.add_argument("--work", type=Path, required=True, help="folder of the run's work folders")
    parser.add_argument(
        "--trained", type=existing_file, required=True, help="what the run published at its end"
    )
    parser.add_argument("--step", type=positive, required=True)
    options = parser.parse_args()
    from cai.conversion.training_checkpoints import (
        checkpoint_to_nemo,  # needs torch; --help does not
    )

    fingerprint = read_manifest(options.trained)["fingerprint"]
    kept = kept_folder(options.work / fingerprint[:16])
    steps = kept_steps(kept)
    fail_if(
        options.step not in steps,
        f"step {options.step}: not among those that were kept in {kept}: "
        f"{', '.join(map(str, steps)) or 'none'}; a step is kept if the training saves there "
        "(trainer.ppo.save_interval) and if it is named before the training starts "
        "(paper.snapshots.steps)",
    )
    checkpoint_to_nemo(kept / str(options.step), options.trained, options.archive)
    write_manifest(
        options.archive, what="snapshot", step=options.step, trained=str(options.trained),
        fingerprint=fingerprint,
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
