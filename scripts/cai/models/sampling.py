"""How an answer is sampled."""

from typing import Annotated

from pydantic import Field, model_validator

from cai.core.fields import Section

Temperature = Annotated[float, Field(gt=0, le=100)]


class Sampling(Section):
    """Sampling parameters, in the names that NeMo's server and OpenAI-compatible ones share."""

    max_tokens: int = Field(1024, ge=1, description="Most tokens of an answer.")
    min_tokens: int = Field(1, ge=0, description="Fewest tokens of an answer.")
    temperature: Temperature = Field(1.0, description="Softmax temperature.")
    top_k: int = Field(0, ge=0, description="Sample from the k most probable tokens; 0: from all.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus of this probability mass; 1: all.")
    repetition_penalty: float = Field(1.0, gt=0, description="1: none.")
    greedy: bool = Field(False, description="Always take the most probable token.")

    @model_validator(mode="after")
    def _room(self) -> "Sampling":
        if self.min_tokens > self.max_tokens:
            raise ValueError(
                f"min_tokens must be up to max_tokens ({self.max_tokens}), found {self.min_tokens}"
            )
        return self

    @property
    def varies(self) -> bool:
        """Whether two answers to one prompt may differ."""
        return not self.greedy and self.top_k != 1

    @property
    def extended(self) -> list[str]:
        """What is asked of a server beyond OpenAI's parameters, in vLLM's names."""
        asked = {
            "top_k": bool(self.top_k) and not self.greedy,
            "repetition_penalty": self.repetition_penalty != 1.0,
        }
        return [name for name, is_asked in asked.items() if is_asked]
