"""Overrides as Hydra itself reads them."""

import json
import subprocess

import pytest

from cai.settings.overrides import overrides, value

CASES = [
    None,
    True,
    7,
    1e-6,
    "bf16-mixed",
    "<extra_id_1>",
    "it's",
    "a b",
    "true",
    "12",
    "",
    ["<|endoftext|>", "x,y"],
    {"train": ["a.jsonl"], "test": ["b.jsonl"]},
    '/x/my R&D/a$b/it\'s [1], {y}=z/ü \\ "q".nemo',
    ["a, b.jsonl", "c=d.jsonl", "e'f.jsonl", "g$h.jsonl", "\\'"],
]


def test_null_leaves_a_key_out_and_a_tilde_deletes():
    given = {"b": None, "~a.x": True, "++c": "null", "a.y": 2}
    assert overrides(given) == ["~a.x", "a.y=2", "++c=null"]


def test_order_does_not_matter():
    assert overrides({"a": 1, "b": 2}) == overrides({"b": 2, "a": 1})


def test_hydra_reads_back_what_was_meant(nemo_python):
    program = (
        "import sys, json; from hydra.core.override_parser.overrides_parser import OverridesParser;"
        "parsed = OverridesParser.create().parse_overrides(sys.argv[1:]);"
        "print(json.dumps([o.value() for o in parsed]))"
    )
    arguments = [f"key={value(case)}" for case in CASES]
    done = subprocess.run(
        [nemo_python, "-S", "-c", "import site; site.main();" + program, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    read = json.loads(done.stdout)
    assert [str(item) if isinstance(item, dict) else item for item in read] == [
        str(case) if isinstance(case, dict) else case for case in CASES
    ]


@pytest.mark.parametrize("bad", [{1, 2}, object()])
def test_what_hydra_cannot_hold_is_refused(bad):
    with pytest.raises(TypeError):
        value(bad)
