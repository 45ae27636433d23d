"""A .nemo has its tokenizer, whichever kind it is, and wherever it is moved."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bpe import KINDS, archive_of, write_tokenizer

from cai.core.errors import UserError
from cai.models.nemo_tokenizer import complete, holds_huggingface
from cai.models.tokenizer_kinds import added_tokens
from cai.models.tokens import Tokenizer, tokenizer_of_folder
from cai.nemo.unpacking import opened
from cai.training.checkpoints import is_whole

TEXT = "<|im_start|>user\nIt's (A)  or 1234?\n\n<|im_end|> \u00e9\U0001f600"


@pytest.fixture(params=KINDS)
def folder(request, tmp_path: Path) -> Path:
    write_tokenizer(tmp_path / "hf", request.param, chat_template="{{ messages }}")
    return tmp_path / "hf"


@pytest.fixture
def lender(folder: Path) -> Path:
    files = {f"hf_tokenizer/{path.name}": path.read_bytes() for path in folder.iterdir()}
    return archive_of(folder.parent / "lender.nemo", files | {"weights": b"x" * 5000})


def test_the_tokens_of_an_archive_are_those_of_its_folder(folder, lender):
    own, theirs = Tokenizer(folder), Tokenizer(lender)
    assert holds_huggingface(lender) and own.is_huggingface
    assert own.encode(TEXT) == theirs.encode(TEXT) and own.eos == theirs.eos in own.marks
    assert own.decode(own.encode(TEXT)) == TEXT


def test_nemo_finds_it_where_the_archive_is_unpacked(folder, lender):
    moved = lender.rename(folder.parent / "moved.nemo")
    with opened(moved, folder.parent / "work") as unpacked:
        place = yaml.safe_load((unpacked / "model_config.yaml").read_text())["tokenizer"]["type"]
        assert Path(place).is_absolute() and Path(place).parent == unpacked.resolve()
        named = json.loads(Path(place, "tokenizer_config.json").read_text())
        assert named["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert named["eos_token"] == Tokenizer(folder).eos
        inode = unpacked.stat().st_ino
        with opened(moved, folder.parent / "work") as again:  # it is not unpacked anew
            assert again.stat().st_ino == inode


def test_what_nemo_saves_gets_it_again(folder, lender):
    """NeMo packs no folder, and notes where it was; the rest of the archive stays as it is."""
    saved = archive_of(
        folder.parent / "saved.nemo", {"weights": b"y" * 9000}, type="/gone/unpacked/hf_tokenizer"
    )
    before = saved.read_bytes()
    complete(saved, lender)
    assert Tokenizer(saved).encode(TEXT) == Tokenizer(folder).encode(TEXT)
    assert is_whole(saved)
    assert saved.read_bytes().startswith(before[: 512 + 9000])
    with opened(saved, folder.parent / "work") as unpacked:
        config = yaml.safe_load((unpacked / "model_config.yaml").read_text())
        assert config["num_layers"] == 2 and Path(config["tokenizer"]["type"]).is_dir()
    size = saved.stat().st_size
    complete(saved, lender)
    assert saved.stat().st_size == size


def test_an_archive_with_sentencepiece_is_left_alone(folder, lender):
    plain = archive_of(folder.parent / "plain.nemo", {"w": b"z"}, library="sentencepiece")
    before = plain.read_bytes()
    complete(plain, lender)
    assert plain.read_bytes() == before and not holds_huggingface(plain)


def test_a_bos_that_there_is_not_is_refused(tmp_path):
    write_tokenizer(tmp_path, "qwen2")
    with pytest.raises(UserError, match=r"no BOS token; accepted: .*add_bos: false"):
        Tokenizer(tmp_path).encode("Hi", add_bos=True)


def test_the_kind_with_all_tokens_is_taken(tmp_path):
    """A sentencepiece model to which the folder adds marks would cut them up."""
    plain = Path("demo/models/base/tokenizer.model").read_bytes()
    (tmp_path / "tokenizer.model").write_bytes(plain)
    assert not Tokenizer(tmp_path).is_huggingface
    write_tokenizer(tmp_path, "smollm2")
    assert Tokenizer(tmp_path).is_huggingface
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"adds the token '<\|im_start\|>'"):
        Tokenizer(tmp_path)


def test_files_that_disagree_are_refused(tmp_path):
    write_tokenizer(tmp_path, "smollm2", added_tokens_decoder={"7": {"content": "<|im_end|>"}})
    with pytest.raises(UserError, match=r"'<\|im_end\|>' \(7\) is not one of tokenizer\.json"):
        Tokenizer(tmp_path)


TOKEN = {"content": "<x>"}
NO_TOKENS = [
    ("added_tokens.json", {"<x>": "5"}, "'<x>': found '5'; accepted: the token's id"),
    ("added_tokens.json", [], "not a JSON object"),
    ("tokenizer.json", {"added_tokens": 5}, "added_tokens: found 5; accepted: a list"),
    ("tokenizer.json", {"added_tokens": ["<x>"]}, "added_tokens: found '<x>'; accepted: tokens"),
    ("tokenizer.json", {"added_tokens": [TOKEN]}, "added_tokens: found {'content': '<x>'}"),
    ("tokenizer_config.json", {"added_tokens_decoder": [TOKEN]}, "added_tokens_decoder: found ["),
    ("tokenizer_config.json", {"added_tokens_decoder": {"5": "<x>"}}, "found '<x>'; accepted"),
    (
        "tokenizer_config.json",
        {"added_tokens_decoder": {"x": TOKEN}},
        "added_tokens_decoder: found",
    ),
    ("tokenizer_config.json", {"added_tokens_decoder": {"9" * 5000: TOKEN}}, "decoder: found {"),
]


@pytest.mark.parametrize(("name", "content", "told"), NO_TOKENS)
def test_added_tokens_in_another_form_are_told_in_one_line(tmp_path, name, content, told):
    shutil.copy("demo/models/base/tokenizer.model", tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        tokenizer_of_folder(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/{name}: ") and told in str(error.value)
    assert "\n" not in str(error.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["content", "id", "5"]) | st.text(max_size=3), inner)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), ANYTHING, max_size=3), ANYTHING, ANYTHING)
def test_whatever_adds_tokens_they_are_read_or_told(added, listed, decoder):
    contents = {
        "added_tokens.json": added,
        "tokenizer.json": {"added_tokens": listed},
        "tokenizer_config.json": {"added_tokens_decoder": decoder},
    }
    files = {name: json.dumps(content).encode() for name, content in contents.items()}
    try:
        found = added_tokens(files, "model")
    except UserError as error:
        assert str(error).startswith("model/") and "accepted: " in str(error)
    else:
        assert all(isinstance(text, str) and number >= 0 for text, number in found.items())
