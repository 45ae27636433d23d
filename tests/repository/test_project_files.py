"""What a public project has: one version, and files that are what they say."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest
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


CONFIGURATIONS = [
    *(ROOT / "config").rglob("*.yaml"),
    *(ROOT / "demo").glob("*.yaml"),
]


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_an_editor_finds_the_schema_of_a_configuration_and_has_no_complaint(path):
    text = path.read_text()
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    schema = json.loads((path.parent / named[1]).read_text())
    jsonschema.validate(yaml.safe_load(text), schema)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("lengths: {sft: many}", ["lengths", "sft"]),
        ("lenghts: {sft: 1}", []),
        ("models: {base: {source: x, temperature: 1}}", ["models", "base"]),
    ],
)
def test_an_editor_marks_a_mistake_in_a_file_with_some_of_the_fields(text, where):
    schema = json.loads((ROOT / "config/partial.schema.json").read_text())
    [error] = jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(text))
    assert list(error.absolute_path) == where
