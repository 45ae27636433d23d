"""The tiny models' tokenizer: sentencepiece with Mistral's special ids, a chat mark one piece."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import sentencepiece
from documents import Document

UNKNOWN, BOS, EOS = 0, 1, 2
MARKS = ["[INST]", "[/INST]", "(A)", "(B)", "<extra_id_0>", "<extra_id_1>", "<extra_id_2>", "\n"]


class Encoded(NamedTuple):
    """A document in tokens: ids, the ids that are as right (mostly the same), and roles."""

    ids: list[int]
    alternatives: list[int]
    roles: list[str]


class Tokenizer:
    """Text to token ids and back."""

    def __init__(self, path: Path) -> None:
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.size = self.pieces.get_piece_size()
        self.a, self.b = self.pieces.piece_to_id("(A)"), self.pieces.piece_to_id("(B)")
        self.turn = self.pieces.piece_to_id("[INST]")
        self.space = self.pieces.piece_to_id("\N{LOWER ONE EIGHTH BLOCK}")

    def encode(self, text: str, bos: bool) -> list[int]:
        """Token ids; a `</s>` that ends the text becomes the end-of-sequence id."""
        closed = text.endswith("</s>")
        ids = self.pieces.encode(text.removesuffix("</s>"))
        return [*[BOS] * bos, *ids, *[EOS] * closed]

    def decode(self, ids: list[int]) -> str:
        """The text of ids, without surrounding blanks."""
        return str(self.pieces.decode(ids)).strip()

    def encode_document(self, document: Document) -> Encoded:
        """Encode every prefix of segments: the tokens that each adds are its last segment's."""
        bos = not document[0].text.startswith("<extra_id_0>")
        prefix, ids, roles = "", [], ["context"] * bos
        for text, role in document:
            prefix += text
            ids = self.encode(prefix, bos)
            roles += [role] * (len(ids) - len(roles))
        other = {self.a: self.b, self.b: self.a}
        alternatives = [
            other.get(token, token) if role == "coin" else token
            for token, role in zip(ids, roles, strict=True)
        ]
        return Encoded(ids, alternatives, roles)


def train_tokenizer(texts: Iterable[str], path: Path, size: int) -> None:
    """Learn the pieces from texts and write the sentencepiece model."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=size,
        model_type="bpe",
        pad_id=-1,
        unk_id=UNKNOWN,
        bos_id=BOS,
        eos_id=EOS,
        user_defined_symbols=MARKS,
        character_coverage=1.0,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
