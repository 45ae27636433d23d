"""What a public project has: one version, and files that are what they say."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from cai.provenance import software

ROOT = Path(__file__).parents[2]


def test_citation_changelog_and_manifests_have_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    latest = re.search(r"^## \[(\S+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert re.fullmatch(r"\d+\.\d+\.\d+", software.VERSION)
    assert latest[1] == citation["version"] == software.VERSION
    assert latest[2] == str(citation["date-released"])
    assert software.code()["version"] == software.VERSION


def test_the_librarys_metadata_take_the_version_from_its_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    place = project["tool"]["setuptools"]["dynamic"]["version"]["file"]
    assert (ROOT / place).read_text().strip() == software.VERSION


def test_only_the_page_about_results_can_be_committed():
    names = ["results/README.md", "results/rl_cai.nemo", "results/demo/report.html", ".envs/x"]
    done = subprocess.run(
        ["git", "-C", ROOT, "check-ignore", "--no-index", *names], capture_output=True, text=True
    )
    assert done.stdout.split() == names[1:]
