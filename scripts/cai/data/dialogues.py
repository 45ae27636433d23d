"""Dialogues in the forms that public datasets have, read into messages."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from cai.core.texts import answer_text, trimmed
from cai.files.records import Record, record_id
from cai.models.templates import Message, Role, Template

ROLES: dict[str, Role] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "system": "system",
}
TURN = re.compile(r"\n\n(Human|Assistant):")
LINE = re.compile(r"(?:^|\n)(Human|Assistant):")  # for transcripts without blank lines
BEGUN = re.compile(r"\s*(Human|User|Instruction|Prompt) ?:")  # how a transcript begins
# What gives the assistant the word, however it is written. A name at the beginning of a line says
# so where it can mean nothing else, and any of the others where a transcript has no answer beside.
_BREAK, _MARKS = r"[\n\x0b\x0c\x85\u2028\u2029]", r"[^\w\n]{0,9}"
_NAMES = r"(?:assistant|ai|(?:chat)?bot|(?:chat)?gpt[\w.-]*|claude)"
_OTHERS = r"(?:model|answer|response|output|reply)"
HELD = re.compile(
    rf"{_BREAK}{_MARKS}assistant{_MARKS}:|{_BREAK}[ \t\r]*{_BREAK}{_MARKS}{_NAMES}{_MARKS}:"
    rf"|{_BREAK}[ \t\r]*{_BREAK}{_MARKS}assistant{_MARKS}(?:{_BREAK}|\Z)"
    rf"|{_BREAK}#+ *response{_MARKS}:",
    re.I,
)
WITHIN = re.compile(r"(?:\sAssistant|[.?!]\s+assistant) ?:")  # a transcript in one line
HELD_ALONE = re.compile(
    rf"(?:{_BREAK}{_MARKS}|[.?!] )(?:{_NAMES}|{_OTHERS}){_MARKS}:"
    rf"|{_BREAK}{_MARKS}assistant{_MARKS}(?:{_BREAK}|\Z)",
    re.I,
)
GIVEN = re.compile(  # the same by the marks of chat templates, whichever the models have
    r"<\|[^|<>\n]*\|>\s*assistant\b|<\|assistant\|>|<start_of_turn>\s*model\b"
    r"|<extra_id_1>\s*assistant\b|\[/INST\]",
    re.I,
)
SPECIAL = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]{2,}\]")  # <|im_start|>, <extra_id_1>, </s>, [INST]


DIALOGUES = "messages, conversations, transcript or chosen"
NAMES_SHOWN, NAME_SHOWN = 8, 30  # fields of a record, and letters of each, in a message
MARKED = "text holds a mark of the chat template"


class Malformed(ValueError):
    """A dialogue that cannot be used; the message is the reason, for the ledger."""


def parse_transcript(text: str) -> list[Message]:
    r"""Read ``"\n\nHuman: ...\n\nAssistant: ..."`` (hh-rlhf) into messages.

    Line ends may be those of any system; where there is no blank line before an answer, turns begin
    at any line that begins with a speaker. An empty human turn at the end is cut off.

    Raises:
        Malformed: if a turn is empty, or the turns do not alternate from the human's on.
    """
    messages = list(_turns_of(text))
    if messages[-1] == {"role": "user", "content": ""}:
        messages.pop()
    return checked(messages)


def _turns_of(text: str) -> Iterator[Message]:
    """The turns of a transcript, one after the other."""
    text = "\n\n" + trimmed(text.replace("\r\n", "\n").replace("\r", "\n"))
    head, *rest = (TURN if "\n\nAssistant:" in text else LINE).split(text)
    if head.strip() or not rest:
        raise Malformed("not a transcript")
    answered = "Assistant" in rest[0::2]
    for role, content in zip(rest[0::2], rest[1::2], strict=True):
        if role == "Human":
            _refuse_answer(content, HELD, WITHIN, *([] if answered else [HELD_ALONE]))
        yield _message(role, content.removeprefix(" "))  # which parts the speaker from the words


def _refuse_answer(prompt: str, *given: re.Pattern[str]) -> None:
    """Refuse a prompt that gives the assistant the word: what follows is an answer."""
    if any(pattern.search(f"\n\n{prompt}") for pattern in given):
        raise Malformed("a human turn holds an answer")


def parse_turns(turns: Any) -> list[Message]:
    """Read a list of ``{role, content}`` or of NeMo's ``{from, value}`` into messages.

    Raises:
        Malformed: for an unknown role, an empty turn, or turns that do not alternate.
    """
    return checked(list(_listed(turns)))


def _listed(turns: Any) -> Iterator[Message]:
    """The turns of a list, one after the other."""
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise Malformed("not a list of turns")
    for turn in turns:
        yield _message(_first(turn, "role", "from"), _first(turn, "content", "value"))


def _first(row: Record, *fields: str) -> Any:
    """The first of these fields that is not null; null is absent."""
    return next((row[field] for field in fields if row.get(field) is not None), None)


def parse_dialogue(record: Record) -> list[Message]:
    """The messages of a record that has ``messages``, ``conversations`` (NeMo) or a transcript.

    A field that is null or empty is absent: unions of several datasets have many.

    Raises:
        Malformed: if it has none of them or the dialogue is malformed.
    """
    return checked(list(_dialogue_of(record, parse_transcript)))


def _dialogue_of(
    record: Record, read: Callable[[str], Iterable[Message]], accepted: str = DIALOGUES
) -> Iterable[Message]:
    """The turns of a record, of which a list is not checked; ``read`` reads a transcript."""
    record = {field: value for field, value in record.items() if value not in ([], "")}
    if record.get("messages") is not None:
        return _listed(record["messages"])
    if record.get("conversations") is not None:
        return _listed(_with_system(record))
    side = _first(record, "transcript", "chosen")
    if side is None:
        raise Malformed(f"no {accepted}; found {_names(record)}")
    return read(side) if isinstance(side, str) else _listed(side)


def _names(record: Record) -> str:
    """The names of a record's fields, as a reason of the ledger has them."""
    names = [repr(name[:NAME_SHOWN]) for name in sorted(record)]
    more = [f"{len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    return ", ".join([*names[:NAMES_SHOWN], *more]) or "no field"


def first_turns(record: Record, count: int, accepted: str = DIALOGUES) -> list[Message]:
    """The first turns of a record's dialogue after its system message, if there is one.

    What comes after them is not used, so nothing is asked of it: later turns may be empty or not
    alternate. A dialogue may have fewer turns than ``count``.

    Raises:
        Malformed: if it has no dialogue, or these turns are malformed.
    """
    turns = (turn for turn in _dialogue_of(record, _turns_of, accepted) if turn["role"] != "system")
    return checked(list(islice(turns, count)))


def first_prompt(record: Record) -> str:
    """A record's own ``prompt``, or the first human turn of its dialogue.

    The own prompt may be a transcript or a list of turns (TRL), too; of these the first human turn
    is the prompt.

    Raises:
        Malformed: if there is none, it shows nothing, or an answer cannot be told from it.
    """
    prompt = _first_prompt(record)
    if GIVEN.search(prompt):
        raise Malformed(MARKED)
    return prompt


def _first_prompt(record: Record) -> str:
    prompt = record.get("prompt")
    if prompt in (None, []):
        return _asked(first_turns(record, 1, f"prompt, {DIALOGUES}")[0]["content"])
    if isinstance(prompt, list):  # TRL's form
        return _asked(first_turns({"messages": prompt}, 1)[0]["content"])
    if not isinstance(prompt, str):
        raise Malformed(f"prompt: expected text or a list of turns, found {type(prompt).__name__}")
    if not trimmed(prompt):
        raise Malformed("empty prompt")
    return _asked(trimmed(prompt))


def _asked(prompt: str) -> str:
    """A prompt that is a text: itself, or the first human turn if it is a transcript."""
    if LINE.match(prompt):
        return checked(list(islice(_turns_of(prompt), 1)))[0]["content"]
    _refuse_answer(prompt, HELD, *([WITHIN, HELD_ALONE] if BEGUN.match(prompt) else []))
    return prompt


def parse_side(value: Any) -> list[Message]:
    """One side of a comparison: a transcript or a list of turns.

    Raises:
        Malformed: if it is neither, or malformed.
    """
    return parse_transcript(value) if isinstance(value, str) else parse_turns(value)


def checked(messages: list[Message]) -> list[Message]:
    """The messages, if they alternate from the user's on, after a system message or none.

    Raises:
        Malformed: with the reason.
    """
    turns = messages[1:] if messages and messages[0]["role"] == "system" else messages
    if not turns:
        raise Malformed("no turns")
    if any(turn["role"] != ("user", "assistant")[index % 2] for index, turn in enumerate(turns)):
        raise Malformed("turns do not alternate")
    if not all(turn["content"] for turn in turns):
        raise Malformed("empty turn")
    return messages


def require_answer(messages: list[Message]) -> list[Message]:
    """The messages, if the assistant has the last word.

    Raises:
        Malformed: if not.
    """
    if messages[-1]["role"] != "assistant":
        raise Malformed("no answer at the end")
    return messages


def opening(messages: Sequence[Message]) -> str:
    """The first human turn: what a dialogue is split by."""
    return next(message["content"] for message in messages if message["role"] == "user")


def dialogue_id(messages: Sequence[Message]) -> str:
    """The id of a dialogue; that of one user's turn is the id of its prompt."""
    if [message["role"] for message in messages] == ["user"]:
        return record_id(messages[0]["content"])
    return record_id("\n".join(f"{message['role']}: {message['content']}" for message in messages))


def clashes(messages: Sequence[Message], template: Template) -> bool:
    """Whether a text holds one of the template's own marks, which would end or begin a turn."""
    return any(mark in message["content"] for message in messages for mark in marks(template))


def marks(template: Template) -> list[str]:
    """The texts that a template sets around turns, and those that end an answer.

    A tokenizer sees no difference between a mark that the template sets and one that a text holds:
    who writes ``[/INST]`` into a prompt writes the answer, too. Such a text is left out, into the
    ledger, and not escaped: another text would be asked and trained on then.
    """
    return sorted({*turn_marks(template), *(stop for stop in template.stop if stop.strip())})


def turn_marks(template: Template) -> list[str]:
    """The texts that a template sets around turns.

    They are what comes before a content, and all that looks like ``<|im_start|>`` or ``[INST]`` in
    its forms.
    """
    forms = [template.system, template.user, template.assistant, template.between, template.close]
    before = [form.split("{content}")[0].strip() for form in forms[:3] if form]
    special = [mark for form in forms for mark in SPECIAL.findall(form)]
    return sorted({mark for mark in [*before, *special] if mark.strip()})


def refuse_marks(messages: Sequence[Message], templates: Iterable[Template]) -> None:
    """Refuse texts that hold a mark of one of the templates that they will be rendered in.

    Raises:
        Malformed: if one does, see :func:`marks`.
    """
    if any(clashes(messages, template) for template in templates):
        raise Malformed(MARKED)


def _with_system(record: Record) -> list[Any]:
    system = record.get("system") or ""
    if not isinstance(system, str) or not isinstance(record["conversations"], list):
        raise Malformed("not a list of turns")
    head = [{"role": "system", "content": system}] if trimmed(system) else []
    return head + record["conversations"]


def _message(role: Any, content: Any) -> Message:
    name = ROLES.get(str(role).lower())
    if name is None:
        raise Malformed("unknown role")
    if not isinstance(content, str):
        raise Malformed("a turn is not text")
    return {"role": name, "content": (answer_text if name == "assistant" else trimmed)(content)}
