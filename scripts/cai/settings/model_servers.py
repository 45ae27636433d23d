"""How model servers are started and asked, as configured."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from cai.core.fields import Section

MODEL, FREE_PORT = "MODEL", "FREE_PORT"  # words of a server's command


class ClientSettings(Section):
    """How the server is asked.

    Answers that are in a journal stay valid whatever is changed here, but for ``eos``; another
    batch size draws other samples, since a batch of NeMo's server has one seed.
    """

    batch_size: int = Field(128, ge=1, le=128, description="Prompts a request; NeMo takes 128.")
    timeout: float = Field(
        600, gt=0, description="Seconds for a whole answer: of a batch, or of one prompt."
    )
    retries: int = Field(
        5, ge=1, description="Attempts before a batch is split, or a prompt fails."
    )
    in_flight: int = Field(2, ge=1, description="Requests sent at a time: one runs, others wait.")
    eos: str = Field(
        "</s>",
        min_length=1,
        description="The text of a sentencepiece model's EOS token; others name it themselves.",
    )


class Serving(Section):
    """What a program must know of a server to ask it."""

    kind: Literal["nemo", "openai"] = Field(
        "nemo",
        description="NeMo's own server (`nemo.*`), or one that is compatible with OpenAI's "
        "/v1/completions, such as vLLM, trtllm-serve or NIM.",
    )
    in_flight: int = Field(
        256, ge=1, description="Most requests sent at a time to a server of kind openai."
    )
    prompts: Literal["tokens", "text"] = Field(
        "tokens",
        description="How a server of kind openai is given a prompt: as tokens, exactly those that "
        "NeMo sees, or as text, if it takes no tokens.",
    )
    model: str | None = Field(
        None,
        description="The name of the model at a server of kind openai, which must list it; null: "
        "the first that it lists.",
    )
    extensions: bool = Field(
        True,
        description="Whether a server of kind openai takes vLLM's parameters beyond OpenAI's: "
        "top_k, repetition_penalty, min_tokens, skip_special_tokens. If not, a sampling that "
        "needs one of the first two is refused, and min_tokens is not kept.",
    )
    prompt_logprobs: bool = Field(
        False,
        description="Whether a server of kind openai gives `prompt_logprobs`, as vLLM does: the "
        "log-probabilities of a text that it is given. Harm identification and the KL divergence "
        "of policies are read from them.",
    )

    @property
    def scores_prompts(self) -> bool:
        """Whether the server gives log-probabilities of what it is given."""
        return self.kind == "nemo" or self.prompt_logprobs


class ServerSettings(Serving):
    """What serves the models. Answers in a journal stay valid whatever is changed here."""

    command: list[str] = Field(
        [],
        description="The command of a server of kind openai, a word an item. MODEL becomes the "
        "exported Hugging Face folder, FREE_PORT a port, DEVICES the GPUs of the node.",
    )

    @model_validator(mode="after")
    def _commanded(self) -> "ServerSettings":
        missing = [word for word in (MODEL, FREE_PORT) if not names(self.command, word)]
        if self.kind == "openai" and missing:
            raise ValueError(
                f"command: a server of kind openai needs one that names {' and '.join(missing)}, "
                f"found {self.command}"
            )
        if self.kind == "nemo" and self.command:
            raise ValueError(
                f"command: found {self.command} with kind nemo, whose server is started without "
                "one; accepted: kind openai, or command []"
            )
        return self

    def serving(self) -> Serving:
        """The part that programs are given."""
        return Serving(**self.model_dump(exclude={"command"}))


def names(command: Sequence[str], word: str) -> bool:
    """Whether a command has a word to fill in, as or within an argument."""
    return any(word in argument for argument in command)
