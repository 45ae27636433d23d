"""What is taken of Snakemake beyond its documented interface is there, and does what we rely on.

On an upgrade of Snakemake these tests name what has changed.
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cai.workflow import snakemake_internals as internals

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]
SNAKEFILE = """
rule all:
    input: "c"

rule one:
    output: "a"
    params: 1, word="x"
    resources: mem_mb=7
    shell: "echo {params} > {output}"

rule two:
    input: "a"
    output: "b"
    localrule: True
    shell: "cp {input} {output}"

rule three:
    input: "a", "b"
    output: "c"
    shell: "cat {input} > {output}"
"""


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    """A workflow of Snakemake's, planned in this process; nothing is made."""
    from snakemake.cli import args_to_api, parse_args
    from snakemake.workflow import Workflow

    folder = tmp_path_factory.mktemp("three")
    (folder / "Snakefile").write_text(SNAKEFILE)
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        including = Workflow.include
        patch.setattr(
            Workflow,
            "include",
            lambda workflow, *words, **named: (
                kept.append(workflow),
                including(workflow, *words, **named),
            )[1],
        )
        parser, args = parse_args(["-n", "--cores", "1", "--set-resources", "three:mem_mb=9"])
        assert args_to_api(args, parser)
        yield kept[0]


def jobs(workflow):
    return {job.rule.name: job for job in workflow.persistence.dag.jobs}


def test_this_version_is_accepted_and_named_by_the_environment_and_the_workflow():
    assert internals.complaints() == []
    (pinned,) = re.findall(r"^snakemake==(.*)$", (ROOT / "envs/controller.txt").read_text(), re.M)
    assert internals.complaints(pinned) == []
    assert f'min_version("{internals.FROM}")' in (ROOT / "Snakefile").read_text()


@pytest.mark.parametrize("version", ["9.26.9", "9.28.0", "10.0"])
def test_another_version_is_refused_in_one_line(version):
    (line,) = internals.complaints(version)
    assert f"found {version}; accepted: from 9.27, below 9.28" in line


def test_private_names_are_used_in_one_module():
    private = re.compile(
        r"(?:workflow|dag|persistence|_settings)\._[a-z]|snakemake\.(?:dag|jobs)\b"
    )
    module = ROOT / "scripts/cai/workflow/snakemake_internals.py"
    assert private.search(module.read_text())
    others = [*(ROOT / "scripts").rglob("*.py"), *(ROOT / "rules").rglob("*.smk")]
    assert not [str(path) for path in others if path != module and private.search(path.read_text())]


def test_rules_that_are_not_local_are_submitted(workflow):
    assert internals.submitted(workflow) >= {"one", "three"}
    assert "two" not in internals.submitted(workflow)


def test_resources_of_the_command_line_are_known_by_rule(workflow):
    assert internals.profile_resources(workflow).keys() == {"three"}
    assert internals.expanded_resources(workflow, "one")["mem_mb"] == 7
    assert internals.expanded_resources(workflow, "three")["mem_mb"] == 9


def test_parameters_and_inputs_are_texts_as_snakemake_records_them(workflow):
    found = jobs(workflow)
    assert sorted(internals.params(found["one"])) == ["'x'", "1"]
    assert list(internals.inputs(found["three"])) == ["a", "b"]


def test_the_methods_that_are_replaced_are_those_that_snakemake_awaits():
    from snakemake.dag import DAG

    for name, first in {"update_needrun": ["self"], "finish": ["self", "job"]}.items():
        method = internals._own.get(name, getattr(DAG, name))
        assert inspect.iscoroutinefunction(method), name
        assert list(inspect.signature(method).parameters)[: len(first)] == first, name
    assert inspect.iscoroutinefunction(DAG.postprocess)


def test_jobs_that_are_taken_out_are_not_run_and_those_behind_wait_if_asked(workflow):
    dag, found = workflow.persistence.dag, jobs(workflow)
    assert set(internals.needed(dag)) == set(found.values())
    dag._finished.clear()  # by the dry run
    before = len(dag)
    internals.take_out(dag, {found["two"]}, waiting={found["two"]})
    assert found["two"] not in internals.needed(dag) and not dag.reason(found["two"])
    assert len(dag) == before - 1
    assert dag._n_until_ready[found["three"]] == 2  # one, and two that may run after all
    internals.take_out(dag, set(), waiting=set())
    assert dag._n_until_ready[found["three"]] == 1


NAMES = {  # without an underscore, but not documented either: used by dag, sparing, code and rules
    "DAG": "toposorted needrun_jobs dependencies reason forcerules forcefiles postprocess "
    "workflow max_checksum_file_size",
    "Persistence": "params input params_changed input_changed code_changed software_stack_changed "
    "incomplete input_checksums dag",
    "Job": "rule wildcards input output log benchmark shellcmd is_shell params resources is_local "
    "output_mintime is_group dag",
    "Rule": "name shellcmd set_params",
    "Reason": "forced params_changed code_changed clear",
    "Workflow": "rules get_rule basedir persistence globals execution_settings config_settings "
    "resource_settings is_main_process touch",
}


def test_the_other_names_are_there(workflow):
    dag, job = workflow.persistence.dag, jobs(workflow)["three"]
    things = {
        "DAG": dag,
        "Persistence": workflow.persistence,
        "Job": job,
        "Rule": job.rule,
        "Reason": dag.reason(job),
        "Workflow": workflow,
    }
    missing = [
        f"{name}.{word}"
        for name, words in NAMES.items()
        for word in words.split()
        if word not in dir(things[name])
    ]
    assert missing == []


def test_a_workflow_of_another_version_ends_in_one_line():
    code = (
        "import sys, snakemake; snakemake.__version__ = '9.99'; "
        "from snakemake.cli import main; sys.argv[:] = ['snakemake', '-n', '--cores', '1']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "error: Snakemake: found 9.99; accepted: from 9.27, below 9.28" in done.stderr


def test_a_command_that_is_overlooked_has_not_changed(workflow):
    """Else a training's new command hides, of jobs behind it, those that have to run."""
    found, persistence = jobs(workflow), workflow.persistence
    internals.overlook_command(lambda job: job.rule.name == "one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(persistence), "_code_changed", lambda *words, **named: True)
        assert not any(persistence.code_changed(found["one"]))
        assert persistence.code_changed(found["one"], file="a") is False
        assert any(persistence.code_changed(found["two"]))
