"""Texts of others: which prompts are the same, where answers end, what is harmless to show."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.core.shown import shown
from cai.core.texts import answer_text, csv_cell, encodable, identity, trimmed
from cai.files.records import record_id

INVISIBLE = "\u200b\ufeff\u2060\u00ad\u200e\u202e\ufe0f\x00\x1b\U000e0041"
words = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F, categories=["L", "N", "P"]))
anything = st.text()
any_with_halves = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, categories=None))


@given(st.lists(words.filter(bool), min_size=1), st.randoms(use_true_random=False))
def test_an_id_does_not_see_what_nobody_sees(parts, random):
    plain = " ".join(parts)
    spaced = "".join(
        random.choice([" ", "\n\t", "\u00a0", "\r\n"]) if c == " " else c for c in plain
    )
    hidden = "".join(c + random.choice(["", *INVISIBLE, "\u200c", "\u200d"]) for c in spaced)
    assert record_id("\ufeff " + hidden) == record_id(plain)


@given(anything, st.sampled_from(["NFC", "NFD"]))
def test_an_id_does_not_see_how_accents_are_composed(text, form):
    assert identity(unicodedata.normalize(form, text)) == identity(text)
    assert identity(identity(text)) == identity(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\N{MAN}\u200d\N{WOMAN}", "\N{MAN}\N{WOMAN}"),  # a family, two people
        ("\N{WOMAN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}\u200d\N{ROCKET}", "\N{WOMAN}\N{ROCKET}"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u062e\u0648\u0627\u0647\u0645",
        ),
        ("\u0d28\u0d4d\u200d", "\u0d28\u0d4d"),  # a chillu, and a letter with its vowel killed
        ("x\u00b2", "x2"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001f3f4"),  # a flag of a region
    ],
)
def test_what_is_read_differently_has_ids_of_its_own(one, other):
    assert record_id(one) != record_id(other)


def test_a_joiner_between_latin_letters_is_nothing():
    assert record_id("H\u200di\u200c") == record_id("Hi")


@pytest.mark.parametrize(
    "text", ["", " \n", "\u200b", "\ufeff", "\u200b \u2060\u00a0", "\x00", "\u3164"]
)
def test_a_text_that_shows_nothing_is_empty(text):
    assert trimmed(text) == ""


@given(anything, st.text(INVISIBLE[:4] + " \n\t"), st.text(INVISIBLE[:4] + " \n\t"))
def test_only_the_ends_of_a_text_are_trimmed(text, before, after):
    assert trimmed(before + trimmed(text) + after) == trimmed(text)
    assert trimmed(text) in text


@pytest.mark.parametrize(
    "tail",
    [
        "\n\nHuman",
        "\n\nHuman:",
        "\nHuman:",
        "\n\nHuman: ",
        "\r\n\r\nHuman:",
        "\n\nHuman:\n\nHuman:",
        "\n\nAssistant:",
        "\nhuman:",
        "\n\nHUMAN :",
        "\u2028\u2028Human:",
        "\n\nHuman:\u200b",
        "\nUser:",
        "\n\nUSER:",
        "\n\n### Human:",
        "\n### Instruction:\n",
        "\n### Response",
        "</s>",
        "\n</s>\nHuman:",
        "<|im_end|>\n<|im_start|>",
        "<|eot_id|>",
        "<end_of_turn>\n<start_of_turn>",
        " [INST]",
    ],
)
def test_the_mark_of_a_next_turn_is_cut(tail):
    assert answer_text(f" Well, no.{tail}") == "Well, no."


@pytest.mark.parametrize(
    "text",
    [
        "To err is Human",
        "Which one?\nHuman",
        "Human:",
        "He said: Human: hello",
        "A Human:",
        "Ask your\n\nassistant",
        "It depends on the\n\nuser",
        "Give each user: a name",
        "<s>crossed out</s>",
        "## Response times",
        "### Responses",
    ],
)
def test_the_word_human_at_the_end_is_kept(text):
    assert answer_text(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("    x = 1\n    y = 2", "    x = 1\n    y = 2"),
        ("\n \n    x = 1", "    x = 1"),
        ("\tx = 1", "\tx = 1"),
        ("  - a\n  - b\n", "  - a\n  - b"),
        (" Yes.", "Yes."),
        ("   Yes.\nNo.", "Yes.\nNo."),
        ("    \n", ""),
    ],
)
def test_indentation_that_means_something_is_kept(text, kept):
    assert answer_text(text) == kept


@given(anything)
def test_an_answer_that_was_cut_is_cut_no_further(text):
    assert answer_text(answer_text(text)) == answer_text(text)


@given(any_with_halves)
def test_every_text_can_be_made_to_encode(text):
    assert encodable(text).encode().decode() == encodable(text)
    assert record_id(text)


def test_pairs_of_surrogates_are_joined_and_halves_replaced():
    assert encodable("\ud83d\ude00 \ud83d \ude00") == "\N{GRINNING FACE} \ufffd \ufffd"


@given(any_with_halves)
def test_what_is_shown_is_well_formed_xml(text):
    from xml.etree import ElementTree
    from xml.sax.saxutils import escape

    assert ElementTree.fromstring(f"<a>{escape(shown(text))}</a>").tag == "a"
    assert not {"\x1b", "\u202e", "\x9b"} & {*shown(text)}


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1+cmd", "@SUM(A1)", "-2+3", "\t=1", " =1", "\uff1d1"]
)
def test_a_cell_is_no_formula(text):
    assert str(csv_cell(text)).startswith("'")


@pytest.mark.parametrize("value", [-0.5, "-0.5", "+3", "1e-3", None, True, "a=b", ""])
def test_other_cells_stay_as_they_are(value):
    assert csv_cell(value) is value or csv_cell(value) == value


def test_a_program_reads_and_shows_texts_that_a_terminal_has_not(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("from cai.core import cli\ncli.run(lambda: print(input()))\n")
    done = subprocess.run(
        [sys.executable, program],
        input="caf\u00e9 ".encode() + b"\xff\n",
        capture_output=True,
        env={"PYTHONPATH": "scripts", "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    utf8 = subprocess.run(
        [sys.executable, program],
        input="caf\u00e9 ".encode() + b"\xff\n",
        capture_output=True,
        env={"PYTHONPATH": "scripts", "PYTHONUTF8": "1"},
    )
    assert utf8.stdout.decode() == "caf\u00e9 \ufffd\n"
