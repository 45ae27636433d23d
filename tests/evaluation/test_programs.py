import pytest
from tests import programs
from tests.project import program

pytestmark = pytest.mark.slow  # starts each program of the evaluation

PROGRAMS = {
    "build_evaluation_prompts": "--red-team",
    "score_rewards": "--model",
    "classify": "--answers",
    "summarise": "--answers",
    "plot_training": "--ppo",
    "plot_evaluation": "--summary",
    "write_report": "--constitution",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_explains_itself_and_names_a_missing_file(name):
    explained = programs.run(program(name), "--help")
    assert explained.returncode == 0
    assert PROGRAMS[name] in explained.stdout
    mistaken = programs.run(program(name), PROGRAMS[name], "no/such/file")
    assert mistaken.returncode == 2
    assert mistaken.stderr == "error: no/such/file: no such file\n"
