"""The tiny models' tokenizer: sentencepiece with Mistral's special ids, a chat mark one piece."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import sentencepiece
from documents import Document, Role, Segment

UNKNOWN, BOS, EOS = 0, 1, 2
MARKS = ["[INST]", "[/INST]", "(A)", "(B)", "<extra_id_0>", "<extra_id_1>", "<extra_id_2>", "\n"]


class Encoded(NamedTuple):
    """A document in tokens, one entry a token in each list.

    A branch goes on from the end of the trunk: `positions` count from there, and `sources` are the
    places of the tokens that predict these (the one before, within the branch). `shares` are the
    probabilities of a verdict's letter; 1 for other tokens. `hints` are a verdict's, else UNKNOWN.
    """

    ids: list[int]
    branches: list[int]
    positions: list[int]
    sources: list[int]
    shares: list[float]
    hints: list[int]
    roles: list[Role]


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
        """Encode segment by segment: they begin where words do."""
        bos = not document[0].text.startswith("<extra_id_0>")
        encoded = Encoded([], [], [], [], [], [], [])
        start = Segment("", "context")
        if bos:
            self._append(encoded, [BOS], start, source=0, position=0)
        trunk = 0
        source, position, branch = 0, int(bos), 0
        for segment in document:
            if segment.branch != branch:
                trunk = trunk or len(encoded.ids)
                source, position, branch = (
                    trunk - 1,
                    encoded.positions[trunk - 1] + 1,
                    segment.branch,
                )
            ids = self.encode(segment.text, bos=False)
            self._append(encoded, ids, segment, source, position)
            source, position = len(encoded.ids) - 1, position + len(ids)
        return encoded

    def _append(
        self, encoded: Encoded, ids: list[int], segment: Segment, source: int, position: int
    ) -> None:
        """Add a segment's tokens; of a verdict's, the letter alone is one."""
        first = len(encoded.ids)
        letters = (self.a, self.b)
        hint = self.encode(f" {segment.hint}", bos=False)[0] if segment.hint else UNKNOWN
        for place, token in enumerate(ids):
            decides = segment.role == "verdict" and token in letters
            plain = segment.role == "verdict" and not decides
            encoded.ids.append(token)
            encoded.branches.append(segment.branch)
            encoded.positions.append(position + place)
            encoded.sources.append(first + place - 1 if place else source)
            encoded.shares.append(segment.share if decides else 1.0)
            encoded.hints.append(hint if decides else UNKNOWN)
            encoded.roles.append("context" if plain else segment.role)


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
