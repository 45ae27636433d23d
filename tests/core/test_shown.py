from hypothesis import given
from hypothesis import strategies as st

from cai.core.shown import MARK, one_line, shown


def test_nothing_steers_the_terminal():
    assert shown("a\x1b[2Jb\tc\nd\x07\u0301\u96ea") == "a\ufffd[2Jb\tc\nd\ufffd\u0301\u96ea"
    assert shown("\u202eevil\u2066 \x9b31m \ud83d \r") == "\ufffdevil\ufffd \ufffd31m \ufffd \ufffd"


def test_what_is_text_stays():
    text = "caf\u00e9\u00a0\u3000 \U0001f468\u200d\U0001f4bb \u0645\u06cc\u200c\u062e\n\t"
    assert shown(text) == text


@given(st.text())
def test_what_is_shown_encodes_and_stays_as_it_is(text):
    safe = shown(text)
    assert len(safe) == len(text)
    assert shown(safe) == safe
    assert safe.encode().decode() == safe
    assert all(a == b or b == MARK for a, b in zip(text, safe, strict=True))


@given(st.text(), st.integers(10, 50))
def test_one_line_is_one_line(text, most):
    line = one_line(text, most)
    assert len(line) <= most and "\n" not in line
