"""Where the project lies, whatever folder a program is called from."""

from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]
ROOT = SCRIPTS.parent
