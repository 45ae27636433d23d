"""How a chat service is asked, as configured."""

from typing import Literal

from pydantic import Field, JsonValue, field_validator

from cai.core.fields import Section

RESERVED = ("model", "messages", "stream", "n", "logprobs", "top_logprobs")


class ChatSettings(Section):
    """How the API is asked.

    An answer depends on ``max_tokens``, ``temperature``, ``top_p``, ``extra`` and ``leave_out``
    alone: with another value of these it is asked for anew.
    """

    max_tokens: int = Field(1024, ge=1, description="Most tokens of an answer.")
    temperature: float = Field(0.0, ge=0, le=2, description="0: the most probable answer.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus of this probability mass; 1: all.")
    extra: dict[str, JsonValue] = Field(
        {},
        description="Further fields of each request, such as {reasoning_effort: low} or "
        "{chat_template_kwargs: {enable_thinking: false}}.",
    )
    leave_out: list[Literal["max_tokens", "temperature", "top_p"]] = Field(
        [], description="Fields that are not sent, for models that take none of that name."
    )
    length_field: Literal["auto", "max_tokens", "max_completion_tokens"] = Field(
        "auto",
        description="The field for max_tokens; auto: the other one, too, once a service asks for "
        "it.",
    )
    system: Literal["auto", "turn", "fold"] = Field(
        "auto",
        description="Where the system text goes: a turn of its own, or folded into the user's turn "
        "(models without a system role); auto: folded once a service refuses the turn.",
    )
    in_flight: int = Field(
        64, ge=1, description="Most requests sent at a time; fewer while the service is overloaded."
    )
    timeout: float = Field(180, gt=0, description="Seconds that an answer may take.")
    retries: int = Field(10, ge=1, description="Attempts before a conversation counts as failed.")

    @field_validator("extra")
    @classmethod
    def _further(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        own = sorted({*RESERVED, *cls.model_fields} & set(extra))
        if own:
            raise ValueError(f"{own[0]} is not for `extra`: the client sets it")
        return extra
