"""Cards of models: licences by source, and what a lineage that does not hold any more says."""

import pytest
from tests.lineage.test_lineage import Results

from cai.core.errors import UserError
from cai.lineage.model_card import card, read_licences
from cai.lineage.trace import trace
from cai.models.templates import Template

TEMPLATE = Template(user="Q: {content}", assistant="A: {content}", stop=["Q:"], add_bos=False)
SOURCES = [
    {"source": "someone/set", "revision": "abc", "data_dir": "part", "split": "train"},
    {"source": "github:some/where/a.jsonl", "revision": "def", "split": "train"},
    {"source": "own/file.jsonl", "revision": None, "split": "train"},
]


@pytest.fixture
def results(tmp_path) -> Results:
    made = Results(tmp_path / "run")
    made._write(made.dataset, made.data, principles=made.texts, sources=SOURCES)
    made.write_model()
    return made


def written(results: Results, tmp_path, licences: dict[str, str]) -> str:
    measured = tmp_path / "summary.md"
    measured.write_text("| Harmless | 94% |\n")
    return card("sl_cai", trace(results.model), licences, TEMPLATE, measured)


def test_a_licence_is_that_of_the_source_or_of_its_pattern(results, tmp_path):
    text = written(
        results, tmp_path, {"github:some/*": "mit", "someone/*": "x", "someone/set": "y"}
    )
    assert "| someone/set | part | abc | y | train |" in text
    assert "| github:some/where/a.jsonl |  | def | mit | train |" in text
    assert "| own/file.jsonl |  |  | not stated | train |" in text
    assert "datasets:\n- someone/set\n" in text  # the hub knows no others
    assert "Where does it mislead?" in text and "| Harmless | 94% |" in text
    assert "broken" not in text


def test_a_card_says_that_files_have_changed_since(results, tmp_path):
    results.data.write_text("other data")
    assert "broken in 1 place" in written(results, tmp_path, {})


def test_licences_that_are_none_are_refused(tmp_path):
    path = tmp_path / "licences.yaml"
    path.write_text("someone/set: [mit]\n")
    with pytest.raises(UserError, match=r"someone/set: found \['mit'\]; accepted"):
        read_licences(path)
