"""What an edit of our code runs again, by the real Snakemake in a workflow of four small jobs."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]

# data -> train -> judge -> report, which reads the data too. Each program says what it does.
SNAKEFILE = f"""
import sys
sys.path.insert(0, "{ROOT}/scripts")
from cai.workflow import code, sparing

rule report:
    input: data="data", judged="judged"
    output: "report"
    shell: "python scripts/report/write_report.py {{input.data}} {{input.judged}} {{output}}"

rule judge:
    input: "model"
    output: "judged"
    params: kindness=config.get("kindness", 1)
    shell: "python scripts/rl_cai/judge_candidates.py {{input}} {{output}}"

rule train:
    input: "data"
    output: "model"
    params: steps=config.get("steps", 1)
    shell: "python scripts/training/train.py {{input}} {{output}}"

rule data:
    input: "source"
    output: "data"
    params: split=["--seed", config.get("seed", 1)]
    shell: "python scripts/data/prepare.py {{input}} {{output}}"

code.watch(workflow)
if workflow.is_main_process:
    sparing.install()
"""
PROGRAM = """
import sys
from lib import {name}
*inputs, output = sys.argv[1:]
text = " ".join(open(path).read() for path in inputs)
open(output, "w").write(f"{name}({{text}}){{{name}.END}}")
open("said", "a").write("{name} ")
"""
PROGRAMS = {
    "data": "scripts/data/prepare.py",
    "train": "scripts/training/train.py",
    "judge": "scripts/rl_cai/judge_candidates.py",
    "report": "scripts/report/write_report.py",
}


class Small:
    """The workflow, after one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts/lib").mkdir(parents=True)
        (folder / "Snakefile").write_text(SNAKEFILE)
        (folder / "source").write_text("s")
        for name, program in PROGRAMS.items():
            (folder / program).parent.mkdir()
            (folder / program).write_text(PROGRAM.format(name=name))
            self.module(name, "END = ''\n")
        assert self.run() == ["data", "train", "judge", "report"]

    def module(self, name: str, text: str) -> None:
        """Write the library module that a program imports."""
        (self.folder / f"scripts/lib/{name}.py").write_text(text)

    def snakemake(self, *arguments: str) -> str:
        """What Snakemake says."""
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def run(self, *arguments: str) -> list[str]:
        """The programs that a run starts, in their order."""
        said = self.folder / "said"
        said.unlink(missing_ok=True)
        self.snakemake(*arguments)
        return said.read_text().split() if said.exists() else []

    def planned(self, *arguments: str) -> set[str]:
        """The rules that a dry run would run."""
        lines = self.snakemake("-n", *arguments).splitlines()
        return {line.split()[1][:-1] for line in lines if line.startswith("rule ")}


@pytest.fixture
def small(tmp_path):
    """The workflow, all of it done."""
    return Small(tmp_path)


def test_a_training_whose_data_come_out_as_before_does_not_run(small):
    small.module("data", "END = ''.strip()\n")
    assert small.planned() == {"data", "report"}
    assert small.run() == ["data", "report"]
    assert small.run() == []


def test_a_training_whose_data_change_runs_in_the_same_run(small):
    small.module("data", "END = '!'\n")
    assert small.planned() == {"data", "report"}
    assert small.run() == ["data", "train", "judge", "report"]
    assert (small.folder / "report").read_text() == ("report(data(s)! judge(train(data(s)!)))")
    assert small.run() == []


def test_what_is_edited_behind_a_spared_training_waits_for_it(small):
    small.module("data", "END = '!'\n")
    small.module("judge", "END = '?'\n")
    assert small.planned() == {"data", "judge", "report"}
    assert small.run() == ["data", "train", "judge", "report"]
    assert "judge(train(data(s)!))?" in (small.folder / "report").read_text()


def test_a_training_of_which_the_command_alone_changed_keeps_nobody_waiting(small):
    path = small.folder / "Snakefile"
    path.write_text(path.read_text().replace("training/train.py ", "training/train.py  "))
    small.module("judge", "END = '?'\n")
    assert small.planned() == {"judge", "report"}
    assert small.run() == ["judge", "report"]


def test_an_edit_behind_a_training_leaves_it_alone(small):
    small.module("judge", "END = '?'\n")
    assert small.run() == ["judge", "report"]


def test_an_edited_training_program_runs_nothing(small):
    small.module("train", "END = '?'\n")
    assert small.planned() == set()


def test_a_comment_runs_nothing(small):
    for name in PROGRAMS:
        small.module(name, f'"""A docstring."""\nEND = ""  # of {name}\n')
    assert small.planned() == set()


@pytest.mark.parametrize(
    "setting, runs",
    [
        ("steps=2", ["data", "train", "judge", "report"]),
        ("kindness=2", ["data", "judge", "report"]),
    ],
)
def test_a_setting_changed_beside_the_code_counts(small, setting, runs):
    small.module("data", "END = ''.strip()\n")
    assert small.planned("--config", setting) == set(runs)
    assert small.run("--config", setting) == runs


def test_changed_data_and_an_edit_train_again(small):
    small.module("data", "END = ''.strip()\n")
    (small.folder / "source").write_text("t")
    assert small.planned() == set(PROGRAMS)
    assert small.run() == list(PROGRAMS)


def test_a_lost_model_is_made_again_though_only_code_has_changed(small):
    small.module("data", "END = ''.strip()\n")
    (small.folder / "model").unlink()
    assert small.run() == list(PROGRAMS)


def test_touching_takes_all_as_up_to_date(small):
    small.module("data", "END = '!'\n")
    small.snakemake("--touch")
    assert small.planned() == set()


@pytest.mark.parametrize(
    "before, now",
    [
        ("prepare.py {input}", "prepare.py  {input}"),
        ('split=["--seed", config.get("seed", 1)]', 'seed=config.get("seed", 1), other=[]'),
    ],
)
def test_a_rules_new_form_runs_its_job_and_no_training(small, before, now):
    snakefile = small.folder / "Snakefile"
    assert before in snakefile.read_text()
    snakefile.write_text(snakefile.read_text().replace(before, now))
    assert small.planned() == {"data", "report"}
    assert small.run() == ["data", "report"]
    assert small.planned("--config", "seed=2") == {"data", "train", "judge", "report"}


def test_a_new_command_of_a_training_runs_nothing(small):
    snakefile = small.folder / "Snakefile"
    text = snakefile.read_text()
    snakefile.write_text(text.replace("train.py {input}", "train.py  {input}"))
    assert snakefile.read_text() != text
    assert small.planned() == set()
    assert small.planned("--config", "steps=2") >= {"train", "judge", "report"}
    small.module("judge", "END = '?'\n")  # is behind the training, which nothing asks for
    assert small.run() == ["judge", "report"]
