"""Check .nemo files that someone else has made, before NeMo loads them.

NeMo's own programs unpickle what a .nemo holds, so that one from a stranger can run anything as the
user. This program reads it as data and refuses it if something in it would be run. Needs neither
NeMo nor torch.
"""

import argparse
from pathlib import Path

from cai.conversion.stored import check_archive
from cai.core.cli import run


def main() -> None:
    """Read the command line and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, nargs="+", help="the .nemo files")
    for archive in parser.parse_args().archive:
        check_archive(archive)
        print(f"{archive}: holds nothing that would be run")


if __name__ == "__main__":
    run(main)
