"""The settings of the three kinds of judge.

- ``logprob``, the paper's: a served model is shown a pair and a principle drawn for it; the label
  is soft, the probability of "(A)" averaged over both orders of the pair.
- ``chat``, the tutorial's: an OpenAI-compatible model is shown the whole constitution and all
  candidates of a prompt, and names the best and the worst. With ``pairwise`` it is asked as the
  ``logprob`` judge is, and read by log-probabilities or by votes.
- ``random``, the control: a coin, which shows what the workflow does without a constitution.

Options that make no sense together are refused here, before anything is asked.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from cai.core.cli import describe
from cai.core.errors import UserError
from cai.core.fields import Section
from cai.settings.chat_service import ChatSettings

UNFILLED = re.compile(r"\$\w+|\$?\{[^}]*\}?|\$\(|<[^>]*>?")  # what stands for something else
VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
# How the keys of services begin, of those that could be a variable's name.
KEY = re.compile("(hf|gsk|csk|nvapi|sk|rk|pk|xai|ghp|gho|pplx|tgp|fw|r8)_(?=.{10})|AIza(?=.{20})")
MIXED, LONG, LONGER = 8, 20, 32  # letters and digits in a row, as keys have them, not names
SLOTS = ("{prompt}", "{a}", "{b}", "{principle}")
SHOWN = (
    "Here are a request and two answers to it.\n\nRequest: {prompt}\n\n(A) {a}\n\n(B) {b}\n\n"
    "{principle}\n\n"
)


def check_slots(text: str, slots: Sequence[str] = SLOTS) -> str:
    """Refuse a question that does not hold each of its slots exactly once."""
    missing = [slot for slot in slots if text.count(slot) != 1]
    if missing:
        raise ValueError(f"must hold {missing[0]} exactly once")
    return text


class Reasoning(Section):
    """Chain of thought: the judge first reasons, then a second request asks for its answer."""

    question: str = Field(
        SHOWN + "Think step by step about what speaks for (A) and what for (B). Do not choose yet.",
        description="What asks for the reasoning, in place of `question`, with the same slots.",
    )
    request: str = Field(
        "Which of the two answers is it, then? Answer with (A) or (B) alone.",
        min_length=1,
        description="What asks for the answer after the reasoning.",
    )
    max_tokens: int = Field(512, ge=1, description="Most tokens of the reasoning.")
    temperature: float = Field(1.0, ge=0, le=2, description="0: the most probable reasoning.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus of this probability mass; 1: all.")
    clamp: float = Field(
        0.4,
        ge=0,
        lt=0.5,
        description="Each answer's probability is kept within this and one minus this (the paper's "
        "40-60 %), since reasoning makes it overconfident; 0: as it is.",
    )

    _slots = field_validator("question")(check_slots)


class Pairwise(Section):
    """What a judge of pairs is asked."""

    pairs: int = Field(1, ge=1, description="Comparisons of each prompt.")
    question: str = Field(
        SHOWN + "Answer with (A) or (B).",
        description="The user's turn, with {prompt}, {a}, {b} and {principle}.",
    )
    constitution: Literal["drawn", "whole"] = Field(
        "drawn",
        description="What stands for {principle}: one principle a question, drawn for the "
        "comparison (the paper), or all of them.",
    )
    principles_per_comparison: int = Field(
        1,
        ge=1,
        description="Principles drawn for a comparison, all if there are fewer (the paper's "
        "ensembles: 16); `combine` says how their probabilities become one.",
    )
    combine: Literal["mean", "odds"] = Field(
        "mean",
        # a run from before this setting had the mean, and asked for no field of this name
        exclude_if=lambda combine: combine == "mean",
        description="How the probabilities under a comparison's principles become one. `mean`: "
        "their average (the paper). `odds`: the product of their odds, each between 1 and 99 %, so "
        "that a principle without an opinion (50 %) does not weaken one that has an opinion.",
    )
    tie: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        exclude_if=lambda tie: tie == 0,  # as `combine`
        description="A probability that is within this of 50 %, over both orders, is taken for no "
        "opinion: exactly 50 %. 0: as it is. Two servers' sums in 16 bits differ by up to 0.01.",
    )
    samples: int = Field(
        1,
        ge=1,
        description="Times that each question is asked: reasonings, or votes; their answers are "
        "averaged.",
    )
    reasoning: Reasoning | None = Field(
        None, description="Chain of thought before the answer; null: none, {}: these defaults."
    )

    _slots = field_validator("question")(check_slots)

    @model_validator(mode="after")
    def _defined(self) -> "Pairwise":
        if self.constitution == "whole" and self.principles_per_comparison > 1:
            raise ValueError(
                "constitution 'whole' asks about all principles at once, so "
                f"principles_per_comparison must be 1, found {self.principles_per_comparison}"
            )
        if self.samples > 1 and self.sampled_at == 0:
            raise ValueError(
                "samples must be 1 without reasoning at a temperature above 0, since all of them "
                f"would be equal; found {self.samples}"
            )
        return self

    @property
    def sampled_at(self) -> float | None:
        """The sampling temperature; 0: no sampling, None: that of the client."""
        return self.reasoning.temperature if self.reasoning else 0.0


class LogprobJudge(Pairwise):
    """A served model's probability of (A) against (B), with principles drawn a comparison."""

    kind: Literal["logprob"] = Field("logprob", description="Which judge it is.")
    answer_prefix: str = Field(
        " The answer is: ", description="How the judge's turn begins; (A) or (B) comes next."
    )
    both_orders: bool = Field(True, description="Ask in both orders and average; else in one.")


class PairwiseChat(Pairwise):
    """How a chat model compares two answers at a time."""

    question: str = Field(
        SHOWN + "Answer with (A) or (B) alone.",
        description="The user's turn, with {prompt}, {a}, {b} and {principle}.",
    )
    logprobs: bool = Field(
        False,
        description="Read the probabilities of (A) and (B), where the service gives `logprobs` and "
        "`top_logprobs`; else each answer is one vote.",
    )

    @property
    def sampled_at(self) -> float | None:
        """The sampling temperature; 0: no sampling, None: that of the client."""
        votes = not (self.reasoning or self.logprobs)
        return None if votes else super().sampled_at


class ChatJudge(Section):
    """An OpenAI-compatible chat model that names the best and the worst of a prompt's answers."""

    kind: Literal["chat"] = Field("chat", description="Which judge it is.")
    url: str = Field(description="Base address, including /v1; a query is kept.")
    model: str = Field(min_length=1, description="The model's name at the service.")
    key_variable: str | None = Field(
        None, description="Environment variable that holds the key; null: no key is sent."
    )
    orders: Literal[1, 2] = Field(1, description="2: ask again with the answers in reverse order.")
    pairwise: PairwiseChat | None = Field(
        None,
        description="Compare two answers at a time; null: the best and the worst of all are named, "
        "by the whole constitution (the tutorial), {}: these defaults.",
    )
    client: ChatSettings = ChatSettings()

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        if "@" in url:  # reported below, where it is not shown: it may hold a password
            return url
        try:
            parts = urlsplit(url)
            server = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            fine = server and not parts.fragment
        except ValueError:  # of the port, or of an IPv6 address
            fine = False
        if unfilled := UNFILLED.search(url):
            raise ValueError(
                "expected the http(s) address of a service, such as https://host/v1, in which "
                f"nothing is filled in ({unfilled[0]})"
            )
        if not fine or not (url.isascii() and url.isprintable()) or " " in url:
            raise ValueError("expected the http(s) address of a service, such as https://host/v1")
        return url

    @field_validator("model")
    @classmethod
    def _name(cls, model: str) -> str:
        if model != model.strip() or not model.isprintable():
            raise ValueError("expected the model's name, without spaces around it")
        return model

    @model_validator(mode="after")
    def _secrets(self) -> "ChatJudge":
        """Refuse what may be a secret; a message of the whole section does not show the value."""
        if "@" in self.url:
            raise ValueError(
                "url must hold no user name and password (before an @); a key comes from the "
                "environment variable that key_variable names"
            )
        if self.key_variable is not None and not _is_variable(self.key_variable):
            raise ValueError(
                "key_variable must be the name of an environment variable (letters, digits, _) and "
                "not the key itself; what was found is not shown"
            )
        return self

    @model_validator(mode="after")
    def _votes_differ(self) -> "ChatJudge":
        pairwise = self.pairwise
        if pairwise is None or pairwise.sampled_at is not None:
            return self
        if pairwise.samples > 1 and self.client.temperature == 0:
            raise ValueError(
                f"pairwise.samples is {pairwise.samples}, but votes at client.temperature 0 would "
                "all be equal: set it above 0, or samples to 1"
            )
        return self


def _is_variable(name: str) -> bool:
    """Whether a text can be the name of a variable, and does not look like a key itself."""
    words = name.split("_")
    random = any(map(_is_random, words))
    key = KEY.match(name) and any(_is_mixed(word) for word in words[1:] or words)
    return bool(VARIABLE.fullmatch(name)) and not random and not key


def _is_random(word: str) -> bool:
    most = LONG if word.lower() != word else LONGER  # of small letters and digits: hexadecimal
    return len(word) >= most and any(map(str.isdigit, word)) and any(map(str.islower, word))


def _is_mixed(word: str) -> bool:
    """Whether a word is long and has digits, or both small and large letters."""
    mixed = any(map(str.isdigit, word)) or word not in (word.lower(), word.upper())
    return mixed and len(word) >= MIXED


class RandomJudge(Section):
    """A coin instead of a constitution: the control."""

    kind: Literal["random"] = Field("random", description="Which judge it is.")
    pairs: int = Field(1, ge=1, description="Comparisons of each prompt.")


AnyJudge = LogprobJudge | ChatJudge | RandomJudge
JudgeSettings = Annotated[AnyJudge, Field(discriminator="kind")]


def judge_option(text: str) -> AnyJudge:
    """An argparse ``type`` that reads judge settings from a JSON object."""
    try:
        return TypeAdapter(JudgeSettings).validate_json(text)
    except ValidationError as error:
        raise UserError(f"option judge: {describe(error)}") from None
