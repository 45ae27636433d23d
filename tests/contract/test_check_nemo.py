"""The check inside NeMo's container needs Hydra only, and tells each problem in one line."""

import json
import subprocess

import pytest
from tests.contract.conftest import ROOT, STAND_INS
from tests.messages import says

from cai.checks.contract import commands
from cai.nemo import programs
from cai.settings.configuration import load_settings
from cai.settings.last_stages import POLICIES

NEMO, ALIGNER = STAND_INS
SFT = str(ALIGNER / programs.PROGRAMS["sft"])
DATA = [
    "model.restore_from_path=a.nemo",
    "model.data.train_ds.file_path=1.jsonl",
    "model.data.validation_ds.file_path=2.jsonl",
]


@pytest.fixture
def told(check_nemo, tmp_path):
    """Checks commands; returns the exit code, the lines on stderr and the report."""

    def run(*whole, options=()):
        output = tmp_path / "results" / "nemo.json"
        done = check_nemo("--commands", json.dumps(whole), "--output", output, *options)
        report = json.loads(output.read_text()) if output.exists() else None
        return done.returncode, done.stderr.splitlines(), report

    return run


def test_the_report_names_versions_image_and_programs(told):
    settings = load_settings(["config/config.yaml", "config/demo.yaml"])
    whole = commands(settings, POLICIES)
    code, lines, report = told(*whole, options=["--image", "nemo-25.02.sqsh"])
    assert (code, lines, report["warnings"]) == (0, [], [])
    assert report["image"] == "nemo-25.02.sqsh"
    assert report["versions"]["nemo_toolkit"] == "2.1.0"
    assert report["versions"]["nemo_aligner"] == "0.7.0"
    assert report["versions"]["megatron_core"] and report["versions"]["torch"]
    assert {program.rpartition("examples")[2] for program in report["programs"]} == {
        path.removeprefix("examples") for path in programs.PROGRAMS.values()
    }


def test_all_problems_are_told_once_each_and_no_report_is_left(told):
    mistyped = ["python", SFT, *DATA, "model.optim.lrr=1", "~model.optim.bucket_cap_mb"]
    critic = ["python", "/opt/Aligner/serve_ppo_critic.py"]
    code, lines, report = told(mistyped, mistyped, critic)
    assert (code, report) == (2, None)
    mistyped, deleted, missing = lines
    assert says(mistyped, "train_gpt_sft.py: model.optim.lrr: … gpt_sft.yaml … model.optim.lr?")
    assert says(deleted, "train_gpt_sft.py: ~model.optim.bucket_cap_mb: … gpt_sft.yaml")
    assert says(missing, "/opt/Aligner/serve_ppo_critic.py: no such file")


def test_what_has_to_be_given_is_missed(told):
    code, lines, _ = told(["python", SFT, *DATA[:2]])
    assert code == 2
    (line,) = lines
    assert says(line, "train_gpt_sft.py: model.data.validation_ds.file_path: … must be")


def test_the_configuration_beside_the_program_is_the_one_that_counts(told, tmp_path):
    """One that has lost a key, and one that Hydra itself refuses."""
    program = tmp_path / "train_gpt_sft.py"
    program.write_text('@hydra_runner(config_path="conf", config_name="other")\ndef main(): ...')
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/other.yaml").write_text("trainer: {devices: 1}\n")
    command = ["python", str(program), "trainer.devices=DEVICES", "trainer.num_nodes=1"]
    _, (line,), _ = told(command)
    assert says(line, "train_gpt_sft.py: trainer.num_nodes: … other.yaml")
    (tmp_path / "conf/other.yaml").write_text("defaults: [nowhere]\n")
    code, (line,), _ = told(["python", str(program)])
    assert code == 2
    assert line.startswith("error: train_gpt_sft.py: ") and "nowhere" in line


def test_a_group_of_configurations_is_chosen_as_hydra_chooses(told, tmp_path):
    program = tmp_path / "program.py"
    program.write_text('@hydra_runner(config_path="conf", config_name="main")\ndef main(): ...')
    (tmp_path / "conf/size").mkdir(parents=True)
    (tmp_path / "conf/main.yaml").write_text("defaults: [{size: small}, _self_]\na: 1\n")
    for name in ("small", "large"):
        (tmp_path / f"conf/size/{name}.yaml").write_text("layers: 2\n")
    assert told(["python", str(program), "size=large"])[0] == 0
    code, (line,), _ = told(["python", str(program), "size=huge"])
    assert code == 2 and "size/huge" in line and "large" in line


def test_a_program_without_a_configuration_is_told(told, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("print()\n")
    code, (line,), _ = told(["python", str(program)])
    assert code == 2
    assert says(line, f"error: {program}: … configuration")


@pytest.mark.parametrize("given", ["[1]", '[["python"]]', "nowhere.json", "[["])
def test_commands_that_cannot_be_read_are_a_mistake(check_nemo, tmp_path, given):
    done = check_nemo("--commands", given, "--output", tmp_path / "x")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: option commands: ")


def test_another_version_is_a_warning(check_nemo, tmp_path, monkeypatch):
    """As in a container whose packages are newer, and of which one was never installed."""
    newer = tmp_path / "nemo_toolkit-2.2.0.dist-info"
    newer.mkdir()
    (newer / "METADATA").write_text("Metadata-Version: 2.1\nName: nemo_toolkit\nVersion: 2.2.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    output = tmp_path / "report.json"
    done = check_nemo("--commands", json.dumps([["python", SFT, *DATA]]), "--output", output)
    assert done.returncode == 0
    (warning,) = json.loads(output.read_text())["warnings"]
    assert says(warning, "nemo_toolkit: … 2.1.0 … found 2.2.0")
    assert done.stderr == f"warning: {warning}\n"


@pytest.mark.nemo
def test_what_the_programs_import_is_imported_and_what_they_cannot_write_is_told(tmp_path):
    """As in a container whose root is read-only: NeMo makes a folder in HOME at its import."""
    wrapper, program = ROOT / "envs/nemo-cpu/python", ROOT / "scripts/check_nemo.py"
    asked = ["--commands", json.dumps([["python", SFT, *DATA]]), "--imports"]
    homes = {"writable": tmp_path / "home", "read-only": tmp_path / "file"}
    (tmp_path / "file").touch()  # where nothing can be made
    said = {
        name: subprocess.run(
            ["env", f"HOME={home}", wrapper, program, *asked, "--output", tmp_path / name],
            capture_output=True,
            text=True,
            timeout=300,
        )
        for name, home in homes.items()
    }
    assert said["writable"].returncode == 0, said["writable"].stderr
    assert (tmp_path / "home/.cache/huggingface/nemo_nlp_tmp").is_dir()
    assert said["read-only"].returncode == 2 and not (tmp_path / "read-only").exists()
    first, *_, last = said["read-only"].stderr.splitlines()
    assert first.startswith("error: nemo_aligner.") and "NotADirectoryError" in first
    assert last.startswith(f"error: HOME: {homes['read-only']}: ")
