"""Chat templates: how a conversation becomes the text that a model sees."""

from collections.abc import Sequence
from typing import Literal, TypedDict

from pydantic import Field, field_validator

from cai.core.fields import Section

AUTO: Literal["auto"] = "auto"  # in the place of a template: the model's own
Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One turn of a conversation."""

    role: Role
    content: str


def _checked(text: str, accepted: str) -> str:
    """Refuse a format without its one place; double braces, as in other languages, would stay."""
    if text.count("{content}") != 1 or "{{content}}" in text:
        raise ValueError(f"{accepted}, with single braces")
    return text


class Template(Section):
    """A model's chat template: a format string a role, and how a turn ends.

    Generation, SFT, comparisons and rollouts all render through it, so a model never sees one form
    in training and another when it is asked.
    """

    system: str = Field("", description="Format of the system turn; empty: the model has none.")
    user: str = Field(description="Format of a user's turn, with {content}.")
    assistant: str = Field(description="Format of the assistant's turn, with {content}.")
    between: str = Field("", description="The text between an answer and the next user's turn.")
    close: str = Field("", description="What follows the last assistant turn, in training data.")
    stop: list[str] = Field(min_length=1, description="Texts that end a generated turn.")
    add_bos: bool = Field(description="Whether the model expects a BOS token before the text.")

    @field_validator("user", "assistant")
    @classmethod
    def _has_content(cls, text: str) -> str:
        return _checked(text, "must hold {content} exactly once")

    @field_validator("system")
    @classmethod
    def _has_content_or_is_none(cls, text: str) -> str:
        return text and _checked(text, "must be empty, or hold {content} exactly once")

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text up to where the assistant's next words begin.

        Spaces at the end are left off: sentencepiece joins them to the first word generated.
        """
        return (self._turns(messages) + self.assistant.split("{content}")[0]).rstrip(" ")

    def begun(self, messages: Sequence[Message], words: str) -> str:
        """The text of a conversation in which the assistant's next turn begins with these words."""
        return self._turns(messages) + self.assistant.split("{content}")[0] + words

    def closed(self, messages: Sequence[Message]) -> str:
        """The text of a whole conversation that ends with an assistant's turn, with its close."""
        return self._turns(messages) + self.close

    def _turns(self, messages: Sequence[Message]) -> str:
        has_system = bool(messages) and messages[0]["role"] == "system"
        text = "" if has_system else self.system.replace("{content}", "")
        previous = None
        for message in messages:
            text += self.between if previous == "assistant" else ""
            text += self._form(message["role"]).replace("{content}", message["content"])
            previous = message["role"]
        return text

    def _form(self, role: str) -> str:
        return {"system": self.system, "user": self.user, "assistant": self.assistant}[role]


def single_turn(question: str) -> list[Message]:
    """A conversation of one user's turn."""
    return [{"role": "user", "content": question}]
