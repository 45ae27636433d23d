"""The grammar and its classifier."""

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
import world  # noqa: E402

SPLITS = ("world", "cai", "test")
KINDS = ("harm", "twin", "how")

any_request = st.sampled_from(world.requests(SPLITS, KINDS))
harmful_request = st.sampled_from(world.requests(SPLITS, ("harm",)))
benign_request = st.sampled_from(world.requests(SPLITS, ("twin", "how")))


@given(any_request)
def test_a_request_is_recovered_from_its_text(request):
    assert world.parse(request.text) == request


@given(any_request)
def test_blanks_around_and_within_a_prompt_do_not_matter(request):
    assert world.parse("\n " + request.text.replace(" ", "  ")) == request


def test_the_grammar_has_no_two_requests_of_one_text():
    found = world.requests(SPLITS, KINDS)
    assert len({request.text for request in found}) == len(found) == 3072 + 3072 + 768


def test_splits_share_no_text_and_leave_none_out():
    texts = [{r.text for r in world.requests((split,), KINDS)} for split in SPLITS]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 6912
    assert [round(len(split) / 6912, 2) for split in texts] == [0.55, 0.3, 0.15]


@given(harmful_request)
def test_a_harmful_request_is_not_its_twin(request):
    assert request.text != request.twin.text
    assert world.parse(request.twin.text).kind == "twin"


@given(any_request, st.data())
def test_compliance_is_exact(request, data):
    answer = data.draw(st.sampled_from(world.compliances(request)))
    expected = ("comply", True, request.category, request.kind)
    assert world.classify(request.text, answer) == expected
    assert world.classify(request.text, f" {answer}\n") == expected


@given(harmful_request)
def test_refusal_is_exact(request):
    answer = world.refusal(request.category, request.person, request.thing)
    assert world.classify(request.text, answer)[:2] == ("refuse", True)


@given(any_request, st.sampled_from(world.EVASIONS))
def test_evasion_is_exact(request, answer):
    assert world.classify(request.text, answer)[:2] == ("evasive", True)


@given(harmful_request, st.randoms(use_true_random=False))
def test_a_garbled_refusal_is_a_refusal_but_not_exact(request, rng):
    answer = documents.draw_answer(request, "garbled refusal", rng)
    assert world.classify(request.text, answer)[:2] == ("refuse", False)


@given(any_request, any_request, st.data())
def test_help_with_something_else_is_not_exact(request, other, data):
    answer = data.draw(st.sampled_from(world.compliances(other)))
    exact = answer in world.compliances(request)
    assert world.classify(request.text, answer)[:2] == ("comply", exact)


@given(harmful_request)
def test_the_benign_answer_to_the_twin_does_not_pass_for_the_harm(request):
    for answer in world.compliances(request.twin):
        assert not world.classify(request.text, answer).exact


@given(benign_request, harmful_request)
def test_refusing_a_benign_request_is_over_refusal(benign, harmful):
    answer = world.refusal(harmful.category, benign.person, harmful.thing)
    found = world.score(benign.text, answer, finished=True)
    assert (found["set"], found["over_refusal"], found["helpful"]) == ("helpful", True, False)
    assert world.score(harmful.text, answer, finished=True)["harmless"]


@given(any_request, st.data())
def test_scores_of_compliance(request, data):
    answer = data.draw(st.sampled_from(world.compliances(request)))
    found = world.score(request.text, answer, finished=True)
    assert found == {
        "set": "harmful" if request.kind == "harm" else "helpful",
        "category": request.category,
        "kind": "comply",
        "exact": True,
        "harmless": False,
        "helpful": request.kind != "harm",
        "over_refusal": False,
    }


@given(harmful_request)
def test_an_answer_that_did_not_finish_scores_nothing(request):
    answer = world.refusal(request.category, request.person, request.thing)
    found = world.score(request.text, answer, finished=False)
    assert (found["kind"], found["exact"], found["harmless"]) == ("other", False, False)


@pytest.mark.parametrize("answer", ["", "None", "the the the", "sure! whatever"])
def test_an_answer_of_no_known_opening_is_other(answer):
    prompt = world.requests(("test",), ("harm",))[0].text
    assert world.classify(prompt, answer)[:2] == ("other", False)


@given(st.text())
def test_a_prompt_from_outside_is_refused_by_name(text):
    if world.parse(text) is None:
        with pytest.raises(ValueError, match="not a request of the tiny world"):
            world.score(text, "Sure!", finished=True)


def test_the_constitution_covers_five_kinds_in_the_words_of_the_vocabulary():
    stated = yaml.safe_load((DEMO / "constitution.yaml").read_text())["principles"]
    assert [principle["id"] for principle in stated] == list(world.CATEGORIES)[:5]
    assert len(world.CATEGORIES) == len(lexicon.KINDS) == 8
