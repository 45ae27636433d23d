#!/usr/bin/env python
"""Merge LoRA's adapters into their base: a ``.nemo`` of a whole model.

Needs torch, not NeMo, and no GPU. Memory holds one tensor of a layer and the adapters. Trainings
with LoRA do it themselves, at their end.
"""

import argparse
from pathlib import Path

from cai.core.cli import run


def main() -> None:
    """Read the command line and merge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=Path, help="the .nemo that the training started from")
    parser.add_argument("adapters", type=Path, help="the .nemo that the training wrote")
    parser.add_argument("merged", type=Path, help="the .nemo to write")
    options = parser.parse_args()
    from cai.conversion.adapters.merging import merge  # needs torch; --help does not

    learnt = merge(options.base, options.adapters, options.merged)
    print(f"{len(learnt.pairs)} adapters merged, scale {learnt.scale:g}: {options.merged}")


if __name__ == "__main__":
    run(main)
