"""The worker in the NeMo environment, a tokenizer and small models."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tests.conversion.support import Call, started

WORDS = "help me to write a polite answer about the quick brown fox that jumps over lazy dogs"
PIECES = 320


@pytest.fixture(scope="session")
def call(nemo_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """Calls a function of worker.py; a UserError comes back as :class:`Refused`."""
    with started(nemo_python, tmp_path_factory.mktemp("worker") / "log") as call:
        yield call


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentencepiece model of 320 pieces."""
    prefix = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([WORDS] * 20),
        model_prefix=str(prefix),
        vocab_size=PIECES,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(str(prefix) + ".model").get_piece_size()
    assert pieces <= PIECES
    return prefix.with_suffix(".model")


@pytest.fixture(scope="session")
def pieces(tokenizer: Path) -> int:
    return sentencepiece.SentencePieceProcessor(str(tokenizer)).get_piece_size()


@pytest.fixture(scope="session")
def make_model(call: Call, tokenizer: Path, pieces: int) -> Call:
    """Makes a Hugging Face folder: a small Mistral with the fields that are given changed."""

    def make(folder: Path, dtype: str = "float32", shard_size: str = "5GB", **fields: Any) -> Path:
        defaults = {
            "model_type": "mistral",
            "vocab_size": pieces,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            "sliding_window": None,
            "initializer_range": 0.3,
        }
        call("make_hf", folder, defaults | fields, dtype, shard_size)
        shutil.copyfile(tokenizer, folder / "tokenizer.model")
        return folder

    return make


@pytest.fixture(scope="module")
def model(make_model: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model for the tests that only read it."""
    return make_model(tmp_path_factory.mktemp("model") / "hf")


@pytest.fixture(scope="module")
def archive(call: Call, model: Path) -> Path:
    """The archive of :func:`model`."""
    path = model.parent / "model.nemo"
    call("hf_to_nemo", model, path)
    return path
