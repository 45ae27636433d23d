"""Normalises texts that others wrote: their ends, their invisible characters, their encoding.

Each use has its function: :func:`identity` says which prompts are the same, :func:`trimmed` and
:func:`answer_text` remove what is no part of a prompt or of an answer, and :func:`csv_cell` makes
a text harmless in a spreadsheet, as :func:`cai.core.shown.shown` does on pages and terminals.
"""

import re
import unicodedata

from cai.core.shown import shown

# Characters that show nothing and change nothing that is read: zero-width spaces, byte-order marks,
# soft hyphens, marks of direction, variation selectors, tags (outside a flag), control characters.
# Two joiners (U+200C, U+200D) are not here: they change how emoji and some scripts are written.
INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e001f\U000e0080-\U000e0fff"
)
TAGS = "\U000e0020-\U000e007f"  # spell the name of a region after a black flag
BLANKS = "\u115f\u1160\u2800\u3164\uffa0"  # letters by their category that show nothing
JOINERS = "\u200c\u200d"
# scripts whose letters a joiner changes: from Arabic to Myanmar, Khmer, Mongolian, Phags-pa
SCRIPTS = "\u0600-\u109f\u1780-\u18af\ua840-\ua8ff\ua980-\uaaff\ufb50-\ufdff\ufe70-\ufefe"

_INVISIBLE = re.compile(f"[{INVISIBLE}]|(?<!\U0001f3f4)(?<![{TAGS}])[{TAGS}]+")
_BLANK = re.compile(f"[{BLANKS}]")
# what is taken off at the ends of a text: white space, and what shows nothing in any script
_EDGE = "".join(
    one
    for one in map(chr, range(0x10000))
    if one.isspace()
    or unicodedata.category(one) == "Cc"
    or one in f"{BLANKS}\u00ad\u200b\u2060\ufeff"
)
_JOINER = re.compile(f"[{JOINERS}]+")
_SCRIPT = re.compile(f"[{SCRIPTS}]")
_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")
_INDENT = re.compile(r"\A[ \t]+")
CODE = 4  # spaces that make a line code in Markdown; fewer mean nothing. Source: CommonMark 0.31

_SPEAKER = re.compile(r"\b(?P<name>human|assistant|user)[ \t]?(?P<colon>:?)\Z", re.I)
# A heading of a turn (Alpaca, Vicuna), and tokens that end one, where a tokenizer spells them out.
_HEADING = re.compile(
    r"(?:^|\n)#{2,3} ?(?:human|assistant|user|instruction|response|input):?\Z", re.I
)
_END_TOKEN = re.compile(
    r"(?:<\|(?:im_end|im_start|eot_id|eom_id|end_of_text|endoftext|end|user|assistant|system)\|>"
    r"|<(?:start|end)_of_turn>|</s>|\[/?INST\])\Z"
)
_FORMULA = re.compile("[\t\r\n]|\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20]")


def encodable(text: str) -> str:
    """The text with its surrogate pairs joined, and U+FFFD for a half of one: it encodes to UTF-8.

    JSON can spell half a pair; a text that holds one cannot be written.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def identity(prompt: str) -> str:
    """What makes a prompt this one: its text in Unicode's NFC, runs of white space as one space.

    Invisible characters do not count, but for joiners that change how an emoji or a word of the
    scripts from Arabic on is written. Compatibility forms (NFKC) stay apart: x\u00b2 is not x2.
    """
    text = unicodedata.normalize("NFC", encodable(prompt))
    text = _BLANK.sub(" ", _INVISIBLE.sub("", text))
    text = _JOINER.sub(_kept_joiner, text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def _kept_joiner(found: re.Match[str]) -> str:
    """The first of a run of joiners, if its neighbours join."""
    joiner, text = found[0][0], found.string
    before = text[max(found.start() - 1, 0) : found.start()]
    after = text[found.end() : found.end() + 1]
    if not before:
        return ""
    joins: object
    if unicodedata.category(before) in ("So", "Sk"):  # Sk: the colour of a skin
        joins = joiner == "\u200d" and after and unicodedata.category(after) == "So"
    elif unicodedata.combining(before) == 9:  # a virama: it decides whether a conjunct is formed
        joins = True
    else:
        joins = _SCRIPT.match(before) and (_SCRIPT.match(after) or joiner == "\u200d")
    return joiner if joins else ""


def trimmed(text: str) -> str:
    """The text without white space and invisible characters at its ends; "" if it shows nothing.

    Inside, it is left as it is: it is its writer's.
    """
    text = text.strip(_EDGE)
    return text if identity(text) else ""


def answer_text(text: str) -> str:
    r"""An answer without what is no part of it at its ends.

    Blank lines are removed before it, white space after it, and, as often as it occurs there, the
    mark of a next turn (``\n\nHuman``, ``\nAssistant:``, ``\n### Instruction:``) or the token that
    ends one (``<|im_end|>``). The first line keeps its indentation where it means something: four
    spaces or a tab, or fewer if the next line is indented, too.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    while (cut := _without_next_turn(text)) != text:
        text = cut
    indent = _INDENT.match(_BLANK_LINES.sub("", text))
    text = trimmed(text)
    if not indent or not text:
        return text
    means = "\t" in indent[0] or len(indent[0]) >= CODE or _next_is_indented(text)
    return indent[0] + text if means else text


def _without_next_turn(text: str) -> str:
    """The text without the mark of a next turn at its end: a model goes on with it."""
    text = text.rstrip(_EDGE)
    token = _HEADING.search(text) or _END_TOKEN.search(text)
    if token and not _is_markup(token):
        return text[: token.start()]
    mark = _SPEAKER.search(text)
    if mark is None or not (mark["colon"] or mark["name"] == "Human"):
        return text
    head = text[: mark.start()]
    breaks = len(f"{head[len(head.rstrip()) :]}.".splitlines()) - 1
    return head if breaks >= (1 if mark["colon"] else 2) else text


def _is_markup(token: re.Match[str]) -> bool:
    """Whether a tag closes one that the text has opened: ``<s>crossed out</s>``."""
    return token[0] == "</s>" and "<s>" in token.string


def _next_is_indented(text: str) -> bool:
    lines = [line for line in text.split("\n")[1:] if line.strip()]
    return bool(lines) and lines[0][0] in " \t"


def csv_cell(value: object) -> object:
    """A cell that a spreadsheet takes for what it is: a text that begins like a formula gets a '.

    Numbers stay numbers, as texts too. Source: OWASP, "CSV Injection".
    """
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if _FORMULA.match(value) and not is_number(text) else text


def is_number(text: str) -> bool:
    """Whether a text is read as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
