"""Words that a small model does not know are named before any job starts."""

import re

import pytest

from cai.checks import preflight
from cai.checks.vocabulary import load_vocabulary, words_of
from cai.core.errors import UserError
from cai.settings.configuration import load_settings
from cai.settings.origins import merge

FILES = ["config/config.yaml", "config/demo.yaml"]
PETS = {
    "id": "pets",
    "critique": "Point out how the last answer torments animals.",
    "revision": "Rewrite the answer so that it does not scare animals.",
    "preference": "Which answer respects animals more?",
}


@pytest.fixture
def check(tmp_path):
    """Check the demo with a constitution of these principles."""

    def check(*principles, **change):
        path = tmp_path / "constitution.json"
        path.write_text(preflight.canonical_json({"principles": principles}))
        preflight.check(
            merge(
                load_settings(FILES).model_dump(exclude_none=True),
                {"constitution": str(path), **change},
            )
        )

    return check


def test_a_principle_in_known_words_is_taken(check):
    check(PETS)


def test_an_unknown_word_is_named_with_its_principle_and_near_ones(check, tmp_path):
    with pytest.raises(UserError) as error:
        check(PETS | {"preference": "Which answer respects animls and hamsters more?"})
    told = str(error.value)
    assert told.startswith(f"{tmp_path}/constitution.json: principle pets: ")
    assert re.search(r'"animls" \(nearest: animals\b', told) and '"hamsters"' in told
    assert told.endswith("demo/vocabulary.md") and "\n" not in told


def test_every_principle_with_unknown_words_is_in_the_one_line(check):
    with pytest.raises(UserError, match=r'principle pets: .*"hamster".*; principle b: .*"quokka"'):
        check(
            PETS | {"critique": "Explain why the answer torments a hamster."},
            {"id": "b", "preference": "Which answer respects the quokka more?"},
        )


def test_without_a_vocabulary_any_word_is_taken(check):
    models = {"instruct": {"vocabulary": None}}
    check(PETS | {"preference": "Which answer respects hamsters more?"}, models=models)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Which answer is LESS nosy?", ["which", "answer", "is", "less", "nosy"]),
        (
            "someone\N{RIGHT SINGLE QUOTATION MARK}s law-abiding dog.",
            ["someone's", "law-abiding", "dog"],
        ),
        ('"fair" (or not):', ["fair", "or", "not"]),
    ],
)
def test_words_are_told_apart_as_people_do(text, words):
    assert words_of(text) == words


def test_of_markdown_only_the_blocks_are_words(tmp_path):
    path = tmp_path / "words.md"
    path.write_text("# Title\n```\nfair, kind\n```\nprose\n```\nnot\n```\n")
    assert load_vocabulary(path).words == {"fair", "kind", "not"}


@pytest.mark.parametrize("content", [None, "", "# only prose\n"])
def test_a_vocabulary_without_words_is_refused(check, tmp_path, content):
    path = tmp_path / "words.md"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=rf"models\.instruct\.vocabulary: {path}: "):
        check(PETS, models={"instruct": {"vocabulary": str(path)}})
