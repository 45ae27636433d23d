"""Wrong configurations are refused by a dry run, each by one line that says what to do about it.

Each is planned by Snakemake itself, in this process, with the project's own Snakefile and profiles.
"""

import shutil
import subprocess
import sys

import pytest
import yaml
from tests.checks.wrong_configurations import CASES, Wrong
from tests.project import ROOT, Project

from cai.core.errors import UserError
from cai.workflow import dag

pytestmark = pytest.mark.slow


SLURM = "profiles/slurm/config.yaml"
NOISE = ("Using profile", "Config file config/config.yaml is", "warning: ")
REAL = ("seed=-1", "an overlay that is no YAML", "--config without a value", "rl_cia: mem_mb=5")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The project's files, in a folder in which configurations can be written.

    The library is the one that the tests have: Snakemake runs in their process.
    """
    folder = Project(tmp_path_factory.mktemp("project")).folder
    shutil.rmtree(folder / "scripts")
    (folder / "scripts").symlink_to(ROOT / "scripts")
    return folder


@pytest.fixture
def run(place, tmp_path, monkeypatch):
    """Writes a case's files; gives the folder's name in the project, and Snakemake's arguments."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("NVIDIA_API_KEY", "unused")
    experiment = place / "config/experiments/mine.yaml"
    yield lambda case: _written(case, place, place / tmp_path.name)
    experiment.unlink(missing_ok=True)


def _written(case: Wrong, place, here):
    here.mkdir()

    def write(name, text):
        path = (place if name.startswith("config/") else here) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{here}", here.name))

    for name, text in case.files.items():
        write(name, text)
    write("overlay.yaml", case.change if isinstance(case.change, str) else yaml.dump(case.change))
    arguments = ["--dry-run", "--profile", "profiles/demo"]
    configurations = ["config/demo.yaml"]
    if case.over == "mistral":
        write("profile/config.yaml", yaml.dump(_profile(case.rules)))
        arguments, configurations = ["--dry-run", "--profile", f"{here.name}/profile"], []
    if case.change != {}:
        configurations.append(f"{here.name}/overlay.yaml")
    if configurations:
        arguments += ["--configfile", *configurations]
    return here.name, [*arguments, *(["--config", *case.config] if case.config else [])]


def _profile(rules):
    """The slurm profile with other resources for some rules; null: not even those of others."""
    profile = yaml.safe_load(open(SLURM))
    given = profile["set-resources"]
    for rule, resources in rules.items():
        own = given.get(rule, {}) | resources
        given[rule] = {name: value for name, value in own.items() if value is not None}
        for name in (name for name, value in resources.items() if value is None):
            profile["default-resources"].pop(name, None)
    return profile


def refused(arguments):
    """The lines with which Snakemake refuses these arguments."""
    with pytest.raises((SystemExit, UserError)) as error:
        dag.dry_run(arguments)
    return str(error.value).removeprefix("error: ").splitlines()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_by_one_line_with_file_field_found_and_accepted(case, run):
    folder, arguments = run(case)
    lines = refused(arguments)
    assert len(lines) == 1, lines
    rest = lines[0]
    for part in (part.replace("{here}", folder) for part in case.told):
        assert part in rest, f"{part!r} is not (or not in this order) in: {lines[0]}"
        rest = rest.partition(part)[2]


@pytest.mark.parametrize("name", REAL)
def test_snakemake_on_a_command_line_says_the_same(name, run):
    (case,) = (case for case in CASES if case.name == name)
    _, arguments = run(case)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments], capture_output=True, text=True
    )
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith(NOISE)]
    assert done.returncode != 0
    assert lines == [f"error: {line}" for line in refused(arguments)]


def test_the_cases_are_many_and_each_is_another():
    names = [case.name for case in CASES]
    assert len(names) >= 100 and len(set(names)) == len(names)
