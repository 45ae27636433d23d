"""The grammar of principles, and the vocabulary that people read."""

import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

DEMO = Path(__file__).parents[2] / "demo"
sys.path.insert(0, str(DEMO))

import documents  # noqa: E402
import lexicon  # noqa: E402
import make_vocabulary  # noqa: E402
import principles  # noqa: E402

from cai.checks.vocabulary import load_vocabulary, words_of  # noqa: E402

NOVELTIES = ("seen", "frame", "shape", "pair")
KNOWN = load_vocabulary(DEMO / "vocabulary.md").words

some_kinds = st.frozensets(st.sampled_from(list(lexicon.KINDS)), max_size=2)
any_role = st.sampled_from(principles.ROLES)
any_sense = st.sampled_from((1, -1))
any_random = st.randoms(use_true_random=False)


def test_the_committed_vocabulary_is_what_the_words_make():
    assert make_vocabulary.text() == (DEMO / "vocabulary.md").read_text()


@given(any_role, some_kinds, any_sense, st.sampled_from(NOVELTIES), any_random)
def test_principles_are_of_the_vocabulary_and_mean_what_was_asked_for(
    role, kinds, sense, novelty, rng
):
    found = principles.draw(role, kinds, sense, rng, novelty)
    assert (found.role, found.sense, found.vague) == (role, sense, not kinds)
    assert found.kinds == (kinds or set(lexicon.KINDS))
    assert set(words_of(found.text)) <= KNOWN


@given(any_role, some_kinds, any_sense, any_random)
def test_what_is_held_out_is_held_out(role, kinds, sense, rng):
    seen = principles.draw(role, kinds, sense, rng)
    assert seen.shape not in principles.HELD_OUT_SHAPES
    assert seen.frame not in {frame.text for frame in principles.frames(role, True)}
    assert not principles.pair_is_held_out(seen.words[0], seen.shape)


def test_there_are_dozens_of_patterns_for_each_role():
    shapes = len(principles.SHAPES)
    for role in principles.ROLES:
        assert len(principles.frames(role, False)) >= 24 and len(principles.frames(role, True)) >= 5
    assert shapes >= 20


def test_the_committed_constitutions_are_in_known_words():
    for path in DEMO.glob("constitution*.yaml"):
        for principle in yaml.safe_load(path.read_text())["principles"]:
            assert set(words_of(" ".join(map(str, principle.values())))) <= KNOWN, path


@pytest.mark.parametrize(
    ("deed", "done"),
    [
        ("spy on", "spied"),
        ("rob", "robbed"),
        ("lie to", "lied"),
        ("hurt", "hurt"),
        ("cheat", "cheated"),
    ],
)
def test_verbs_are_inflected(deed, done):
    verb = lexicon.verb(f"{deed} ~", -1)
    assert verb.done == done and verb.takes_people


def test_documents_hold_no_wording_that_is_held_out():
    drawn = documents.instruct_documents(3, 400)
    texts = [segment.text for document in drawn for segment in document]
    for role in principles.ROLES:
        for frame in principles.frames(role, True):
            start = frame.text[: frame.text.index("{")]
            assert len(start) < 16 or not any(start in text for text in texts), frame
