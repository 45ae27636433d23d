"""The constitution's file, its stages and the drawing of principles."""

from collections import Counter

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cai.core.errors import UserError
from cai.settings.constitution import draw_principle, for_stage, load_constitution, load_few_shot

WHOLE = {"id": "kind", "critique": "c", "revision": "r", "preference": "p"}


@pytest.fixture
def constitution(tmp_path):
    def write(*principles, name="constitution.yaml", key="principles"):
        path = tmp_path / name
        path.write_text(yaml.safe_dump({key: list(principles)}))
        return path

    return write


@pytest.mark.parametrize(
    ("principles", "message"),
    [
        ([WHOLE, WHOLE], r"principles: .*'kind' .*twice"),
        ([WHOLE | {"critique": " "}], r"principles\[kind\]\.critique: .*empty"),
        ([WHOLE | {"preferense": "p"}], r"principles\[kind\]\.preferense"),
        ([WHOLE | {"critique": None}], r"critique and revision"),
        ([{"id": "kind", "preference": "p"}], r"none has critique and revision"),
        ([{"id": "kind", "critique": "c", "revision": "r"}], r"none has preference"),
        ([{"id": "kind"}], r"critique and revision, or preference"),
        ([WHOLE | {"critique": 3}], r"principles\[kind\]\.critique: .*string, found 3"),
        ([], r"list .*'principles'"),
    ],
)
def test_a_bad_constitution_is_one_line(constitution, principles, message):
    with pytest.raises(UserError, match=message) as error:
        load_constitution(constitution(*principles))
    assert "constitution.yaml" in str(error.value)
    assert "\n" not in str(error.value)


PLACEHOLDERS = [
    "TODO",
    "todo: so",
    "<fill in>",
    "[revision]",
    "...",
    "XXX",
    "TBD",
    "response",
]
CONTROLS = ["a\x00b", "a\x1b[31mb", "a\x7f"]


@pytest.mark.parametrize("text", [*PLACEHOLDERS, *CONTROLS])
@pytest.mark.parametrize("field", ["critique", "revision", "preference"])
def test_neither_principles_nor_dialogues_hold_what_is_no_text(constitution, field, text):
    complaint = "control characters" if text in CONTROLS else "expected real text"
    with pytest.raises(UserError, match=rf"principles\[kind\]\.{field}: .*{complaint}"):
        load_constitution(constitution(WHOLE | {field: text}))
    turns = dialogue(t3={"content": text})
    with pytest.raises(UserError, match=rf"samples\[1\]\[4\]\.content: .*{complaint}"):
        load_few_shot(constitution(turns, key="samples"))


@pytest.mark.parametrize(
    "text",
    ["Is it kind?\n\tIs it?", "Name <b>one</b> flaw.", "Todos are fine?", "Rewrite [it]."],
)
def test_texts_that_look_like_placeholders_in_part_are_texts(constitution, text):
    loaded = load_constitution(constitution(WHOLE | {"critique": text}))
    assert loaded[0].critique == text


def test_fields_that_nobody_reads_are_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"principles": [WHOLE], "name": "mine"}))
    with pytest.raises(UserError, match=r"c\.yaml: name: unknown field; accepted: principles"):
        load_constitution(path)
    path.write_text(yaml.safe_dump({"samples": [dialogue()], "seed": 1}))
    with pytest.raises(UserError, match=r"c\.yaml: seed: unknown field; accepted: samples"):
        load_few_shot(path)
    path.write_text(yaml.safe_dump({"samples": [dialogue(t2={"name": "x"})]}))
    with pytest.raises(UserError, match=r"\[1\]\[3\]: name: unknown .*accepted: role, content"):
        load_few_shot(path)


def test_malformed_yaml_is_named_with_its_line(tmp_path):
    path = tmp_path / "constitution.yaml"
    path.write_text("principles:\n  - id: [\n")
    with pytest.raises(UserError, match=r"constitution\.yaml:\d+: not YAML"):
        load_constitution(path)


def test_a_stage_sees_its_own_texts_only(constitution):
    supervised_only = {"id": "a", "critique": "c", "revision": "r"}
    loaded = load_constitution(constitution(WHOLE, supervised_only))
    assert for_stage(loaded, "preference") == [{"id": "kind", "preference": "p"}]
    assert [texts["id"] for texts in for_stage(loaded, "supervised")] == ["a", "kind"]


def test_comments_order_and_line_breaks_change_nothing(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("principles:\n- {id: x, critique: c d, revision: r, preference: p}\n")
    second.write_text(
        "# words\nprinciples:\n- preference: p\n  revision: r\n  critique: >\n    c\n    d\n"
        "  id: x\n"
    )
    assert load_constitution(first) == load_constitution(second)


names = st.lists(st.text("abcdef", min_size=1), min_size=2, max_size=16, unique=True)


@given(names, st.integers(0, 3), st.integers(0, 5), st.randoms())
def test_a_draw_does_not_depend_on_the_order_of_principles(ids, seed, turn, random):
    shuffled = random.sample(ids, len(ids))
    assert draw_principle(seed, "record", turn, ids) == draw_principle(
        seed, "record", turn, shuffled
    )


@given(names, st.integers(0, 3))
def test_removing_a_principle_moves_only_the_records_that_drew_it(ids, seed):
    kept = ids[1:]
    for record in map(str, range(50)):
        before = draw_principle(seed, record, 0, ids)
        after = draw_principle(seed, record, 0, kept)
        assert after == before or before == ids[0]


def test_each_principle_is_drawn_about_equally_often():
    ids = [f"principle {number}" for number in range(16)]
    drawn = Counter(draw_principle(1, str(record), 0, ids) for record in range(16_000))
    assert set(drawn) == set(ids)
    assert all(850 < count < 1150 for count in drawn.values())


def dialogue(**changes):
    turns = [
        {"role": "User" if index % 2 == 0 else "Assistant", "content": f"turn {index}"}
        for index in range(6)
    ]
    for index, change in changes.items():
        turns[int(index[1:])] |= change
    return turns


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        (dialogue(t1={"role": "User"}), r"samples\[1\]\[2\]\.role: .*alternate"),
        (dialogue(t2={"content": "<critique request>"}), r"samples\[1\]\[3\]\.content: expected"),
        (dialogue(t5={"content": ""}), r"samples\[1\]\[6\]\.content: .*real text"),
        (dialogue()[:4], r"samples\[1\]: .*6 turns .*found 4"),
    ],
)
def test_bad_few_shot_dialogues_are_one_line(constitution, turns, message):
    with pytest.raises(UserError, match=message):
        load_few_shot(constitution(turns, key="samples"))


def test_few_shot_dialogues_are_read(constitution):
    (messages,) = load_few_shot(constitution(dialogue(), key="samples"))
    assert [message["role"] for message in messages] == ["user", "assistant"] * 3


def test_the_shipped_constitutions_are_sound():
    assert len(load_constitution("config/constitution.yaml")) == 16
    assert len(load_constitution("demo/constitution.yaml")) == 5
    assert load_few_shot("config/few_shot.yaml")
