"""Texts of others (a model, a service, a file) as they may be shown on a terminal and in a log."""

import unicodedata

MARK = "\ufffd"  # stands for what is not shown
JOINERS = "\u200c\u200d"  # letters of some scripts, and many emoji, need them
MOST = 300  # characters in a line of a message


def shown(text: str) -> str:
    """The text without characters that control a terminal or the direction of writing.

    Control characters (so the escape that begins ANSI sequences), marks of writing direction and
    other invisible ones, halves of surrogate pairs: each becomes U+FFFD. Line breaks and tabs stay.
    """
    return "".join(c if _is_plain(c) else MARK for c in text)


def one_line(text: str, most: int = MOST) -> str:
    """:func:`shown`, in one line of at most ``most`` characters."""
    line = " ".join(shown(text[: 8 * most]).split())  # white space may shrink; no more is looked at
    return line if len(line) <= most else line[: most - 4] + " ..."


def _is_plain(c: str) -> bool:
    return c.isprintable() or c in "\n\t" or c in JOINERS or unicodedata.category(c) == "Zs"
