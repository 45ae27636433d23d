"""The model's tokenizer for callers that count: vLLM's /tokenize, /detokenize, /tokenizer_info.

Source: the forms of vLLM's OpenAI-compatible server, which lm-evaluation-harness reads.
"""

from collections.abc import Sequence

from pydantic import BaseModel

from cai.asking.chat_model import ChatModel
from cai.core.errors import UserError, fail_if
from cai.files.records import Record
from cai.models.tokens import Tokenizer


class TokenizeAsked(BaseModel):
    """The body of a request to /tokenize."""

    prompt: str
    add_special_tokens: bool = True

    def answer(self, model: ChatModel) -> Record:
        """The tokens; with special ones, BOS is before them where the model's template has it."""
        tokenizer = tokenizer_of(model)
        own = {tokenizer.bos: tokenizer.bos_id, tokenizer.eos: tokenizer.eos_id}
        mark = own.get(self.prompt)
        add_bos = self.add_special_tokens and model.template.add_bos
        # to sentencepiece a mark is mere text, and callers ask for its number by its text
        tokens = tokenizer.encode(self.prompt, add_bos=add_bos) if mark is None else [mark]
        return {"count": len(tokens), "max_model_len": model.context, "tokens": tokens}


class DetokenizeAsked(BaseModel):
    """The body of a request to /detokenize."""

    tokens: list[int]

    def answer(self, model: ChatModel) -> Record:
        """The text of the tokens."""
        return {"prompt": text_of(self.tokens, tokenizer_of(model))}


def info(model: ChatModel) -> Record:
    """What /tokenizer_info answers."""
    tokenizer = tokenizer_of(model)
    return {"bos_token": tokenizer.bos, "eos_token": tokenizer.eos}


def prompt_of(tokens: Sequence[int], model: ChatModel) -> tuple[str, bool]:
    """The text that tokens are, and whether BOS is before it.

    Servers are asked by texts: what they make of a text must be these tokens.

    Raises:
        UserError: it is not.
    """
    tokenizer = tokenizer_of(model)
    begun = tokens[:1] == [tokenizer.bos_id]
    rest = list(tokens[1:]) if begun else list(tokens)
    text = text_of(rest, tokenizer)
    fail_if(
        tokenizer.encode(text) != rest,
        "prompt: these tokens are not those of their text; accepted: a text, or its tokens as "
        "/tokenize gives them",
    )
    return text, begun or model.template.add_bos


def text_of(tokens: Sequence[int], tokenizer: Tokenizer) -> str:
    """The text of tokens.

    Raises:
        UserError: one of them is not the tokenizer's.
    """
    strange = [token for token in tokens if not 0 <= token < tokenizer.size]
    fail_if(strange, f"tokens: found {strange[:1]}; accepted: from 0 to {tokenizer.size - 1}")
    return tokenizer.decode(tokens)


def tokenizer_of(model: ChatModel) -> Tokenizer:
    """The model's tokenizer, without which none is served."""
    if model.tokenizer is None:
        raise UserError("tokens: the model's tokenizer is not known")
    return model.tokenizer
