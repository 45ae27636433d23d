"""Hydra itself refuses the overrides that the check refuses, and no others."""

import json
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.contract.conftest import ROOT, configuration

from cai.checks.contract import CONFIGURATIONS, upstream
from cai.core.errors import UserError
from cai.nemo.composition import check, filled, nested, read_value

VALUES = [
    "1", "0.5", "text", "'quoted, text'", "null", "true", "[1,2]", "{lr:1}",
    "{no_such_key: {a: b}}", "{}", "${model.seed}", "1,2", "x=y", "a;b", "it's", "int(3)", "ü", "",
]  # fmt: skip


@pytest.fixture(scope="module")
def hydra(nemo_python):
    """Asks the real Hydra what it makes of overrides."""
    worker = subprocess.Popen(
        [nemo_python, "-u", ROOT / "tests/contract/hydra_worker.py"],
        env={"PYTHONPATH": str(ROOT / "scripts")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def compose(program, overrides):
        worker.stdin.write(json.dumps([str(configuration(program)), overrides]) + "\n")
        worker.stdin.flush()
        return json.loads(worker.stdout.readline())

    yield compose
    worker.stdin.close()
    worker.wait(timeout=30)


@st.composite
def override_lists(draw):
    """A program, and overrides of its keys, of keys beside or below them, and of sections."""
    program = draw(st.sampled_from(sorted(CONFIGURATIONS)))
    keys = sorted(set(upstream()[CONFIGURATIONS[program]]) - {"defaults"})
    return program, draw(st.lists(override(keys), min_size=1, max_size=3, unique_by=bare))


def bare(argument):
    return argument.lstrip("+~").partition("=")[0]


def override(keys):
    changes = st.sampled_from(
        [
            lambda key: key,
            lambda key: key,
            lambda key: key + "x",
            lambda key: key + ".below",
            lambda key: key + ".0",
            lambda key: key.rpartition(".")[0] or key,
            lambda key: key + "x.below",
        ]
    )
    made = st.builds(lambda key, change: change(key), st.sampled_from(keys), changes)
    given_value = st.builds(
        "{}{}={}".format, st.sampled_from(["", "", "+", "++", "~"]), made, st.sampled_from(VALUES)
    )
    return given_value | made.map("~{}".format)


@given(case=override_lists())
@settings(max_examples=80, deadline=None)
def test_what_is_refused_is_what_hydra_refuses(hydra, case):
    program, overrides = case
    keys = upstream()[CONFIGURATIONS[program]]
    defaults = nested(keys)
    problems = check(defaults, overrides, "x")
    assume(not any(problem.reason.startswith("must be") for problem in problems))
    answer = hydra(program, overrides)
    assert bool(problems) == ("refused" in answer), (problems, answer)


@pytest.mark.parametrize(
    "text",
    [
        "1", "1e-6", "true", "NULL", "bf16-mixed", "00:03:45:00", "", "'true'", "a b", "1.0.0",
        "[]", "[1, 'a,b', [c]]", "{train: [a.jsonl, b.jsonl], test:[c]}", "{a: {b: x:y}, c: null}",
    ],
)  # fmt: skip
def test_a_value_is_read_as_hydra_reads_it(hydra, text):
    assert hydra("sft", [f"++new={text}"])["composed"]["new"] == read_value(text)


@pytest.mark.parametrize("text", ["[1, 2", "{a: 1", "[1] 2", "{a}", "a;b", "it's"])
def test_a_value_that_hydra_cannot_read_is_refused(hydra, text):
    assert "refused" in hydra("sft", [f"++new={text}"])
    assert check({}, [f"++new={text}"], "x")
    with pytest.raises(UserError, match="Hydra cannot read the value: "):
        read_value(text)


@pytest.mark.parametrize("text", ["model.seed", "--config-name=other", "=3", "a b=3", "+++a=1"])
def test_what_is_no_override_is_refused(hydra, text):
    assert "refused" in hydra("sft", [text])
    (problem,) = check({}, [text], "x")
    assert "KEY=VALUE" in problem.reason


def test_the_words_of_the_launcher_become_values():
    filled_in = filled(["trainer.devices=DEVICES", "a=LOG_DIR/index", "b=${oc.env:MY_DEVICES}"])
    assert filled_in == ["trainer.devices=8", "a=/results/index", "b=${oc.env:MY_DEVICES}"]
