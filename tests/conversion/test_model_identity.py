"""A model is its weights, its tokenizer and its architecture, whatever file they stand in."""

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cai.conversion.model_identity import model_identity
from cai.core.errors import UserError

CONFIG = "./model_config.yaml"
INDEX = "./model_weights/.metadata"


def rewritten(
    archive: Path, target: Path, change: Callable[[str, bytes], tuple[str, bytes]], time: int = 1
) -> Path:
    """The archive with other times, and what ``change`` makes of the names and contents."""
    with tarfile.open(archive) as old, tarfile.open(target, "w") as new:
        for member in reversed(old.getmembers()):
            name, content = change(member.name, old.extractfile(member).read())
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname = len(content), time, "somebody"
            new.addfile(info, io.BytesIO(content))
    return target


def with_config(**fields: Any) -> Callable[[str, bytes], tuple[str, bytes]]:
    def change(name: str, content: bytes) -> tuple[str, bytes]:
        if name != CONFIG:
            return name, content
        return name, yaml.safe_dump(yaml.safe_load(content) | fields).encode()

    return change


def test_the_same_model_in_another_file(archive, tmp_path):
    """As a second training writes it: later, in another work folder, under other names."""
    names: list[str] = []

    def change(name, content):
        if name.endswith("_tokenizer.model"):
            names.append(name)
            name = f"./{32 * '0'}_tokenizer.model"
        elif name == CONFIG:
            config = yaml.safe_load(content)
            config["tokenizer"]["model"] = f"nemo:{32 * '0'}_tokenizer.model"
            config["restore_from_path"] = "/scratch/other/models/base.nemo"
            config["data"] = {"train_ds": {"file_path": "x", "index_mapping_dir": "/scratch/x"}}
            config |= {"trainer": {"devices": 8}, "exp_manager": {"explicit_log_dir": "/x"}}
            config |= {"tensor_model_parallel_size": 8, "micro_batch_size": 2, "seed": 7}
            content = yaml.safe_dump(config).encode()
        return name, content

    other = rewritten(archive, tmp_path / "other.nemo", change, time=1_700_000_000)
    assert names and other.read_bytes() != archive.read_bytes()
    assert model_identity(other) == model_identity(archive)


def test_however_ranks_have_divided_it(call, archive, tmp_path):
    call("reshard", archive, tmp_path / "two_ranks.nemo", 0)
    assert model_identity(tmp_path / "two_ranks.nemo") == model_identity(archive)


def test_however_torch_has_stored_it(call, archive, tmp_path):
    call("as_views", archive, tmp_path / "views.nemo")
    assert (tmp_path / "views.nemo").stat().st_size > archive.stat().st_size
    assert model_identity(tmp_path / "views.nemo") == model_identity(archive)


def test_converted_twice(call, model, archive, tmp_path):
    call("hf_to_nemo", model, tmp_path / "again.nemo")
    assert model_identity(tmp_path / "again.nemo") == model_identity(archive)


@pytest.mark.parametrize(
    "fields",
    [
        {"rotary_base": 5.0},
        {"num_query_groups": 1},
        {"hidden_dropout": 0.1},
        {"precision": "bf16-mixed"},
        {"megatron_amp_O2": True},
        {"a_setting_of_a_later_version": 1},
    ],
)
def test_another_arithmetic_is_another_model(archive, tmp_path, fields):
    other = rewritten(archive, tmp_path / "other.nemo", with_config(**fields))
    assert model_identity(other) != model_identity(archive)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_one_bit_of_the_weights_is_another_model(archive, tmp_path, place):
    def change(name, content):
        if name.endswith(".distcp"):
            # most bytes are numbers; those of torch's own affairs would change nothing
            at = int(len(content) * place) // 4096 * 4096 + 2048
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        return name, content

    other = rewritten(archive, tmp_path / "other.nemo", change)
    assert model_identity(other) != model_identity(archive)


def test_another_tokenizer_is_another_model(archive, tmp_path):
    def change(name, content):
        return name, content + b" " if name.endswith("_tokenizer.model") else content

    other = rewritten(archive, tmp_path / "other.nemo", change)
    assert model_identity(other) != model_identity(archive)


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("was_run"),))


def hostile(name: str, content: bytes) -> tuple[str, bytes]:
    return name, pickle.dumps({"x": Evil()}) if name == INDEX else content


def cut(name: str, content: bytes) -> tuple[str, bytes]:
    return name, content[: len(content) // 2] if name.endswith(".distcp") else content


def no_config(name: str, content: bytes) -> tuple[str, bytes]:
    return ("./something.yaml" if name == CONFIG else name), content


@pytest.mark.parametrize("change", [hostile, cut, no_config])
def test_what_is_no_model_is_said_to_be_none_and_nothing_is_run(
    archive, tmp_path, monkeypatch, change
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"bad\.nemo"):
        model_identity(rewritten(archive, tmp_path / "bad.nemo", change))
    assert not (tmp_path / "was_run").exists()
