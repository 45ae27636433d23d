#!/usr/bin/env python
"""Make the pictures of the README and the documentation from a finished run of the demo.

python scripts/tools/draw_images.py results/demo

Needs Chromium, which takes the picture of the report. Writes docs/images/report.png, and the run's
figures there as images of few colors: a page loads them fast. Of the paper's figures it takes those
that the run has been asked for.
"""

import argparse
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from cai.core import cli
from cai.core.errors import fail_if

IMAGES = Path(__file__).parents[2] / "docs/images"
FIGURES = ("harmlessness", "ppo_curves")
OF_PAPER = ("fig08",)
SIZE = (1280, 1060)  # pixels of the report's beginning: the result, the picture, what was run
COLORS = 64
BROWSER = "chromium"


def main() -> None:
    """Read the command line, make the images and say how large they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="of the demo")
    results = parser.parse_args().results
    sources = [results / f"figures/{name}.png" for name in FIGURES]
    for path in (results / "report.html", *sources):
        fail_if(not path.is_file(), f"{path}: no such file; make demo writes it")
    paper = [results / f"figures/{name}.png" for name in OF_PAPER]
    sources += [path for path in paper if path.is_file()]
    with TemporaryDirectory() as folder:
        sources.append(_photographed(results / "report.html", Path(folder, "report.png")))
        for source in sources:
            _reduce(source, IMAGES / source.name)


def _photographed(page: Path, target: Path) -> Path:
    """The beginning of a page as a wide screen shows it, in light colors."""
    program = shutil.which(BROWSER)
    fail_if(program is None, f"{BROWSER} is missing: apt-get install {BROWSER}")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    quiet = ["--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
    size = f"--window-size={SIZE[0]},{SIZE[1]}"
    command = [str(program), "--headless", *sandbox, *quiet, size, f"--screenshot={target}"]
    subprocess.run([*command, page.resolve().as_uri()], check=True, capture_output=True)
    return target


def _reduce(source: Path, target: Path) -> None:
    """Write an image with few colors."""
    with Image.open(source) as image:
        few = image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
        few.save(target, optimize=True)
    print(f"{target.relative_to(IMAGES.parents[1])}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    cli.run(main)
