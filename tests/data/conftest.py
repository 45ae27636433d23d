"""A tokenizer trained for the tests."""

import pytest
from tests.data.samples import train_tokenizer

from cai.models.tokens import Tokenizer


@pytest.fixture(scope="session")
def tokenizer_model(tmp_path_factory) -> str:
    """The path of a small sentencepiece model."""
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def tokenizer(tokenizer_model) -> Tokenizer:
    """Counts tokens with the small model."""
    return Tokenizer(tokenizer_model)
