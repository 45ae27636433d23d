"""What a configuration says never reaches a shell as code: every field of a command is quoted."""

import shlex
import string

import pytest

from cai.workflow import dag

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def commands():
    """The shell commands of all rules of the workflow, as they are written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["snakemake"])
        dag.dry_run(["--profile", "profiles/demo", "--configfile", "config/demo.yaml"])
    return {rule.name: rule.shellcmd for rule in dag._workflows[0].rules if rule.shellcmd}


def test_every_field_of_every_rule_is_quoted(commands):
    assert len(commands) > 40
    unquoted = [
        f"{rule}: {{{field}}}"
        for rule, command in commands.items()
        for _, field, spec, _ in string.Formatter().parse(command)
        if field is not None and not spec.endswith("q")
    ]
    assert unquoted == []


def test_no_field_stands_within_quotes(commands):
    """There the quotes that are put around its value would end those around it."""
    for rule, command in commands.items():
        before = ""
        for literal, field, _, _ in string.Formatter().parse(command):
            before += literal
            assert field is None or not set(literal) & set("'\""), (rule, field)
            shlex.split(before)  # fails within quotes
