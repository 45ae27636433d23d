"""The two kinds of tokenizers, behind one form: sentencepiece's, and Hugging Face's in one file.

Both encode as NeMo does. Texts of marks such as EOS within a text are mere text to sentencepiece;
Hugging Face's tokenizers read them as the tokens that they are.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cai.core.errors import UserError, fail_if
from cai.core.shown import one_line

TOKENIZER_JSON = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
# What else describes a tokenizer, its chats and where generation ends; it travels with it.
FILES = (
    TOKENIZER_JSON,
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
)

DIGITS = re.compile("[0-9]{1,12}")


class SentencePiece:
    """A sentencepiece model.

    Args:
        content: of its file.
        where: its name in errors.

    Raises:
        UserError: it is none.
    """

    is_huggingface = False

    def __init__(self, content: bytes, where: str) -> None:
        import sentencepiece

        try:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=content)
            empty = not self._model.get_piece_size()
        except RuntimeError:
            empty = True
        fail_if(empty, f"{where}: not a sentencepiece model, or one without pieces")

    @property
    def size(self) -> int:
        """The number of its tokens."""
        return int(self._model.get_piece_size())

    @property
    def bos_id(self) -> int | None:
        """The token before a text; None if there is none."""
        return _known(self._model.bos_id())

    @property
    def eos_id(self) -> int | None:
        """The token after a text; None if there is none."""
        return _known(self._model.eos_id())

    @property
    def unk_id(self) -> int | None:
        """What stands for unknown pieces; None if there is none."""
        return _known(self._model.unk_id())

    @property
    def pad_id(self) -> int | None:
        """What fills up a batch; None if there is none."""
        return _known(self._model.pad_id())

    @property
    def begins_with_space(self) -> bool:
        """Whether it puts a space before a text, as most do."""
        return bool(self._model.id_to_piece(self._model.encode("a")[0]).startswith("\u2581"))

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        return list(self._model.encode(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return str(self._model.decode(list(tokens)))

    def id_of(self, token: str) -> int | None:
        """The token whose text this is; None if there is none."""
        found = self._model.piece_to_id(token)
        return None if found == self._model.unk_id() else int(found)

    def mark_of(self, text: str) -> int | None:
        """The token that a text always becomes, whatever is beside it; None if there is none."""
        return self.id_of(text)

    @property
    def marks(self) -> dict[str, int]:
        """None: a mark is a piece as others are."""
        return {}

    def text_of(self, token: int) -> str:
        """A token's text, as it stands in the vocabulary."""
        return str(self._model.id_to_piece(token))


class HuggingFace:
    """A tokenizer of one file, such as a byte-level BPE, with what is beside it.

    Args:
        files: the contents of the files above, as far as they are there, by their names.
        where: the folder's name in errors.

    Raises:
        UserError: it is none, or a file beside it names tokens that it has not.
    """

    is_huggingface = True

    def __init__(self, files: Mapping[str, bytes], where: str) -> None:
        import tokenizers

        self._where = where
        try:
            self._model = tokenizers.Tokenizer.from_str(files[TOKENIZER_JSON].decode())
        except Exception as error:  # it raises nothing narrower
            raise UserError(
                f"{where}/{TOKENIZER_JSON}: not a tokenizer ({one_line(str(error))[:200]})"
            ) from None
        self._model.no_truncation()
        self._model.no_padding()
        self._named = named_tokens(files, where)
        for text, number in added_tokens(files, where).items():
            found = self._model.token_to_id(text)
            fail_if(
                found != number,
                f"{where}: the token {text[:100]!r} ({number}) is not one of {TOKENIZER_JSON}, "
                f"which has {found} for it; accepted: files that agree",
            )

    @property
    def size(self) -> int:
        """The number of its tokens."""
        return int(self._model.get_vocab_size())

    @property
    def bos_id(self) -> int | None:
        """The token before a text; None if there is none."""
        return self._id_named("bos_token")

    @property
    def eos_id(self) -> int | None:
        """The token after a text; None if there is none."""
        return self._id_named("eos_token")

    @property
    def unk_id(self) -> int | None:
        """What stands for unknown tokens; None if there is none."""
        return self._id_named("unk_token")

    @property
    def pad_id(self) -> int | None:
        """What fills up a batch; None if there is none."""
        return self._id_named("pad_token")

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        return list(self._model.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, marks included."""
        return str(self._model.decode(list(tokens), skip_special_tokens=False))

    def id_of(self, token: str) -> int | None:
        """The token whose text this is; None if there is none."""
        found = self._model.token_to_id(token)
        return None if found is None else int(found)

    def mark_of(self, text: str) -> int | None:
        """The token that a text always becomes, whatever is beside it; None if there is none."""
        return self.marks.get(text)

    @property
    def marks(self) -> dict[str, int]:
        """Texts that are cut out of others before anything else, and their tokens."""
        added = self._model.get_added_tokens_decoder()
        return {token.content: int(number) for number, token in added.items()}

    def text_of(self, token: int) -> str:
        """A token's text, as it stands in the vocabulary."""
        return str(self._model.id_to_token(token))

    def _id_named(self, name: str) -> int | None:
        text = self._named.get(name)
        return None if text is None else self.id_of(text)


Kind = SentencePiece | HuggingFace


def added_tokens(files: Mapping[str, bytes], where: str) -> dict[str, int]:
    """The tokens that a folder's small files add to its vocabulary, with their ids.

    Args:
        files: their contents by name.
        where: the folder's name in errors.

    Raises:
        UserError: they are not in the form that transformers reads; the file and the field.
    """
    found = _ids_by_text(files, "added_tokens.json", where)
    listed = read_object(files, TOKENIZER_JSON, where).get("added_tokens") or []
    place = f"{where}/{TOKENIZER_JSON}: added_tokens"
    fail_if(not isinstance(listed, list), _no_tokens(place, listed, "a list"))
    for token in listed:
        found |= _token(token, token.get("id") if isinstance(token, dict) else None, place)
    decoder = read_object(files, TOKENIZER_CONFIG, where).get("added_tokens_decoder") or {}
    place = f"{where}/{TOKENIZER_CONFIG}: added_tokens_decoder"
    fail_if(not isinstance(decoder, dict), _no_tokens(place, decoder, "an object"))
    for number, token in decoder.items():
        found |= _token(token, int(number) if DIGITS.fullmatch(number) else None, place)
    return found


def _ids_by_text(files: Mapping[str, bytes], name: str, where: str) -> dict[str, int]:
    found = read_object(files, name, where)
    for text, number in found.items():
        fail_if(
            not _is_id(number),
            f"{where}/{name}: {text[:100]!r}: found {number!r:.100}; accepted: the token's id",
        )
    return found


def _token(token: Any, number: Any, place: str) -> dict[str, int]:
    text = token.get("content") if isinstance(token, dict) else None
    if not isinstance(text, str) or not _is_id(number):
        raise UserError(_no_tokens(place, token, "tokens"))
    return {text: number}


def _is_id(number: Any) -> bool:
    return type(number) is int and number >= 0


def _no_tokens(place: str, found: Any, kind: str) -> str:
    return f"{place}: found {found!r:.100}; accepted: {kind} with the id and the content of each"


def named_tokens(files: Mapping[str, bytes], where: str) -> dict[str, str]:
    """The special tokens that a folder's small files name: ``bos_token``, ``eos_token`` ..."""
    named = {
        **read_object(files, "special_tokens_map.json", where),
        **read_object(files, TOKENIZER_CONFIG, where),
    }
    tokens = {name: token for name, token in named.items() if name.endswith("_token")}
    texts = {n: t.get("content") if isinstance(t, dict) else t for n, t in tokens.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def read_object(files: Mapping[str, bytes], name: str, where: str) -> dict[str, Any]:
    """The JSON object in one of the files; empty if there is no such file."""
    if name not in files:
        return {}
    try:
        content = json.loads(files[name])
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{where}/{name}: not a JSON object")
    return content


def _known(token: int) -> int | None:
    return None if token < 0 else token
