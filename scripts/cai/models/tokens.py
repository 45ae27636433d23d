"""How long a text is, in the tokens of the model that will see it."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from cai.core.errors import UserError, fail_if
from cai.files.members import Members
from cai.models.nemo_tokenizer import read_tokenizer
from cai.models.tokenizer_kinds import (
    FILES,
    TOKENIZER_JSON,
    HuggingFace,
    Kind,
    SentencePiece,
    added_tokens,
)

SENTENCEPIECE = "tokenizer.model"


class Tokenizer:
    """A model's tokenizer, as NeMo encodes.

    ``path`` is a ``.nemo`` archive, a Hugging Face folder, a ``tokenizer.json`` or a sentencepiece
    model.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._model = _read(self._path)

    @property
    def is_huggingface(self) -> bool:
        """Whether it is one of Hugging Face's, and not a sentencepiece model."""
        return self._model.is_huggingface

    @property
    def size(self) -> int:
        """The number of its tokens."""
        return self._model.size

    @property
    def eos(self) -> str | None:
        """The text of the token that ends a text; None if there is none."""
        eos = self._model.eos_id
        return None if eos is None else self._model.text_of(eos)

    @property
    def eos_id(self) -> int | None:
        """The token that ends a text; None if there is none."""
        return self._model.eos_id

    @property
    def bos(self) -> str | None:
        """The text of the token that begins a text; None if there is none."""
        bos = self._model.bos_id
        return None if bos is None else self._model.text_of(bos)

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text; None if there is none."""
        return self._model.bos_id

    def text_of(self, token: int) -> str:
        """A token's text, as it stands in the vocabulary."""
        return self._model.text_of(token)

    def count(self, text: str, *, add_bos: bool = False) -> int:
        """The number of tokens of a text, as NeMo encodes it."""
        return len(self.encode(text, add_bos=add_bos))

    def encode(self, text: str, *, add_bos: bool = False) -> list[int]:
        """The tokens of a text, as NeMo encodes it.

        Marks of BOS or EOS in it are mere text to sentencepiece, and tokens to Hugging Face's.
        """
        bos = [self._bos()] if add_bos else []
        return [*bos, *self._model.encode(text)]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return self._model.decode(tokens)

    @property
    def marks(self) -> list[str]:
        """Texts that a Hugging Face tokenizer takes for one token wherever they are."""
        return list(self._model.marks)

    @property
    def has_bos(self) -> bool:
        """Whether there is a token that begins a text."""
        return self._model.bos_id is not None

    def _bos(self) -> int:
        bos = self._model.bos_id
        if bos is None:
            raise UserError(
                f"{self._path}: its tokenizer has no BOS token; accepted: a template with "
                "add_bos: false"
            )
        return bos


def _read(path: Path) -> Kind:
    if path.suffix == ".nemo":
        with Members(path) as members:
            return read_tokenizer(members)
    if path.is_dir():
        return tokenizer_of_folder(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    if path.name == TOKENIZER_JSON:
        return HuggingFace(small_files(path.parent), str(path.parent))
    return SentencePiece(content, str(path))


def small_files(folder: Path) -> dict[str, bytes]:
    """What describes a folder's tokenizer, by name."""
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}


def tokenizer_of_folder(folder: Path) -> Kind:
    """The tokenizer of a Hugging Face folder.

    It is the sentencepiece model, if there is one with all tokens; else ``tokenizer.json``.

    Raises:
        UserError: there is neither, or what is there is damaged.
    """
    files, plain = small_files(folder), folder / SENTENCEPIECE
    if not plain.is_file():
        fail_if(
            TOKENIZER_JSON not in files,
            f"{folder}: found no tokenizer; accepted: {SENTENCEPIECE} (sentencepiece) or "
            f"{TOKENIZER_JSON}",
        )
        return HuggingFace(files, str(folder))
    model = SentencePiece(plain.read_bytes(), str(plain))
    missing = _missing(model, files, str(folder))
    if missing is None:
        return model
    text, number = missing
    fail_if(
        TOKENIZER_JSON not in files,
        f"{folder}: the tokenizer adds the token {text[:100]!r} ({number}) to {SENTENCEPIECE}, "
        f"which NeMo would cut into pieces; accepted: tokens of {SENTENCEPIECE} only, or a "
        f"{TOKENIZER_JSON} with all of them",
    )
    return HuggingFace(files, str(folder))


def tokenizer_that_fits(folder: Path, rows: int, config: str) -> Kind:
    """The tokenizer of a Hugging Face folder, no larger than its model's embedding.

    Args:
        folder: with the tokenizer.
        rows: of the embedding.
        config: the name of the file that says so, in errors.

    Raises:
        UserError: as :func:`tokenizer_of_folder`, or it has more tokens.
    """
    tokenizer = tokenizer_of_folder(folder)
    fail_if(
        tokenizer.size > rows,
        f"{folder}: the tokenizer has {tokenizer.size} tokens, but vocab_size in {config} is "
        f"{rows}; accepted: at least as many",
    )
    return tokenizer


def _missing(model: SentencePiece, files: dict[str, bytes], where: str) -> tuple[str, int] | None:
    """A token that other files add to a sentencepiece model; None if there is none."""
    for text, number in added_tokens(files, where).items():
        if number >= model.size or model.text_of(number) != text:
            return text, number
    return None


class LengthLimit:
    """The most tokens a text may have; without a limit everything fits."""

    def __init__(
        self, tokenizer: Tokenizer | None, most: int | None, *, add_bos: bool = False
    ) -> None:
        if most is not None and tokenizer is None:
            raise UserError(f"a limit of {most} tokens needs a tokenizer (--tokenizer)")
        self.tokenizer, self.most, self.add_bos = tokenizer, most, add_bos

    @classmethod
    def add_options(cls, parser: ArgumentParser, what: str) -> None:
        """Give a program the options ``--tokenizer`` and ``--max-tokens``."""
        parser.add_argument(
            "--tokenizer", type=Path, help=".nemo archive, .model file, tokenizer.json or folder"
        )
        parser.add_argument("--max-tokens", type=int, help=f"longest {what}; others are dropped")

    @classmethod
    def from_options(
        cls, options: Namespace, *, add_bos: bool = False, most: str = "max_tokens"
    ) -> "LengthLimit":
        """The limit that the command line gives; ``most`` is the name of its option."""
        tokenizer = Tokenizer(options.tokenizer) if options.tokenizer else None
        return cls(tokenizer, getattr(options, most), add_bos=add_bos)

    def fits(self, text: str) -> bool:
        """Whether a text has no more tokens than the limit."""
        if self.most is None or self.tokenizer is None:
            return True
        return self.tokenizer.count(text, add_bos=self.add_bos) <= self.most
