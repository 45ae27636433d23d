"""The form in which a chat service takes a request, learned from its refusals.

Services differ: some have no system role, some take ``max_completion_tokens`` in place of
``max_tokens``, some models take no temperature. What is asked is the same in each form, so the key
of an answer in the journal does not depend on the form.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from cai.asking.transport.faults import PARAMETER, ROLES, Fault
from cai.settings.chat_service import ChatSettings

NEW_LENGTH: Final = "max_completion_tokens"
SAMPLING = ("temperature", "top_p")
UNKNOWN = re.compile(  # what says that a parameter itself is not taken, not that its value is wrong
    r"unsupported|(?:not|n't) (?:be )?(?:support|accept|allow|permit|use)|unknown|unrecogni[sz]ed"
    r"|unexpected|extra inputs|only the default|cannot both|deprecated",
    re.I,
)


Length = Literal["max_tokens", "max_completion_tokens"]


class Form(NamedTuple):
    """How a request is sent.

    Attributes:
        fold: put the system text at the head of the user's turn.
        length: the field for the most tokens of an answer.
        without: fields that are left out.
    """

    fold: bool = False
    length: Length = "max_tokens"
    without: frozenset[str] = frozenset()

    def body(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent for what is asked."""
        sent = {name: value for name, value in asked.items() if name not in self.without}
        if self.fold:
            sent["messages"] = folded(sent["messages"])
        if "max_tokens" in sent and self.length != "max_tokens":
            sent[self.length] = sent.pop("max_tokens")
        return sent

    def described(self) -> list[str]:
        """What differs from the usual form, in words."""
        left_out = [f"without {name}" for name in sorted(self.without)]
        fold = ["the system text in the user's turn"] if self.fold else []
        length = [f"{self.length} for max_tokens"] if self.length != "max_tokens" else []
        return [*fold, *length, *left_out]


def first_form(settings: ChatSettings) -> Form:
    """How requests are sent until a service says otherwise."""
    length = "max_tokens" if settings.length_field == "auto" else settings.length_field
    return Form(settings.system == "fold", length, frozenset())


def folded(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The conversation without turns of the system: their text begins the next turn."""
    turns: list[dict[str, str]] = []
    begun: list[str] = []
    for turn in messages:
        if turn["role"] == "system":
            begun.append(turn["content"])
            continue
        turns.append({**turn, "content": "\n\n".join([*begun, turn["content"]])})
        begun = []
    return [*turns, *({"role": "user", "content": text} for text in begun)]


def learned(form: Form, asked: Mapping[str, Any], fault: Fault, fixed: set[str]) -> Form | None:
    """The form that a refusal asks for; None if it asks for none.

    Args:
        form: how it was sent.
        asked: what was asked.
        fault: what the service said.
        fixed: of ``system`` and ``length``, those that the settings decide.
    """
    words = f"{fault.field} {fault.reason}"
    sent = form.body(asked)
    has_system = any(turn["role"] == "system" for turn in sent["messages"])
    roles = fault.cause == "roles" or ROLES.search(words)
    if has_system and roles and "system" not in fixed:
        return form._replace(fold=True)
    not_taken = _is_named("max_tokens", fault) and UNKNOWN.search(words)
    if "max_tokens" in sent and (NEW_LENGTH in words or not_taken) and "length" not in fixed:
        return form._replace(length=NEW_LENGTH)
    if fault.cause != "parameter" and not PARAMETER.search(words) and not UNKNOWN.search(words):
        return None
    refused = [name for name in SAMPLING if name in sent and _is_named(name, fault)]
    if not refused or not UNKNOWN.search(words):
        return None
    return form._replace(without=form.without | {refused[-1]})  # of both, top_p


def _is_named(name: str, fault: Fault) -> bool:
    return fault.field == name or re.search(rf"\b{name}\b", fault.reason) is not None
