"""How long a text is, in the tokens of the model that will see it."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cai.core.errors import UserError, fail_if
from cai.files.members import Members


class Tokenizer:
    """A sentencepiece model.

    ``path`` is the ``.model`` file itself, or a ``.nemo`` archive that holds one.
    """

    def __init__(self, path: Path | str) -> None:
        import sentencepiece

        path = Path(path)
        content = _from_archive(path) if path.suffix == ".nemo" else _bytes(path)
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_proto=content)
            empty = not self._model.get_piece_size()
        except RuntimeError:
            empty = True
        fail_if(empty, f"{path}: not a sentencepiece model, or one without pieces")

    @property
    def size(self) -> int:
        """The number of its tokens."""
        return self._model.get_piece_size()

    def count(self, text: str, *, add_bos: bool = False) -> int:
        """The number of tokens of a text, as NeMo encodes it."""
        return len(self.encode(text, add_bos=add_bos))

    def encode(self, text: str, *, add_bos: bool = False) -> list[int]:
        """The tokens of a text, as NeMo encodes it: marks of BOS or EOS in it are mere text."""
        bos = [self._model.bos_id()] if add_bos else []
        return [*bos, *self._model.encode(text)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None


def _from_archive(path: Path) -> bytes:
    """The first tokenizer of a ``.nemo`` archive, which may hold it twice."""
    with Members(path) as members:
        name = next((name for name in members if name.endswith("tokenizer.model")), None)
        if name is None:
            raise UserError(f"{path}: holds no tokenizer.model")
        return members.read(name)


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
        parser.add_argument("--tokenizer", type=Path, help=".model file or .nemo archive")
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
