"""A model's sizes come from its own files, wherever they are; the configured ones are a promise."""

import json
import shutil
from pathlib import Path

import pytest

from cai.core.errors import UserError
from cai.models.shape import ModelShape, differences, read_hf, read_nemo
from cai.settings.configuration import load_settings
from cai.settings.found_shape import shape_in_files

TINY = ModelShape(
    hidden=128, layers=6, heads=4, kv_heads=2, ffn=352, vocab=2048, context=512, head_dim=32
)
HUB = load_settings(["config/config.yaml"]).models.base


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A hub cache of our own, empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_the_config_of_a_local_folder():
    demo = load_settings(["config/config.yaml", "config/demo.yaml"]).models.base
    assert shape_in_files(demo, "base", "nowhere") == (TINY, Path("demo/models/base/config.json"))


def test_the_archive_and_the_folder_that_it_was_made_from_agree(tiny_model, home):
    assert read_nemo(tiny_model) == TINY
    (home / "models").mkdir()
    (home / "models/base.nemo").symlink_to(tiny_model)
    assert shape_in_files(HUB, "base", str(home)) == (TINY, home / "models/base.nemo")


def test_what_was_downloaded(home):
    assert shape_in_files(HUB, "base", str(home)) is None
    shutil.copytree("demo/models/base", home / "models/base_hf")
    found, path = shape_in_files(HUB, "base", str(home))
    assert (found, path) == (TINY, home / "models/base_hf/config.json")


def test_what_is_in_the_cache_of_the_hub(home):
    snapshot = home / "hub/models--mistralai--Mistral-7B-v0.1/snapshots" / HUB.revision
    snapshot.mkdir(parents=True)
    shutil.copy("demo/models/base/config.json", snapshot)
    assert shape_in_files(HUB, "base", "nowhere") == (TINY, snapshot / "config.json")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"num_hidden_layers": None}, "num_hidden_layers: Field required"),
        ({"hidden_size": "wide"}, "hidden_size: "),
        ({"num_key_value_heads": 3}, r"heads \(4\) .*multiple of kv_heads"),
    ],
)
def test_a_config_that_gives_no_shape_is_told_in_one_line(tmp_path, change, told):
    config = json.loads(Path("demo/models/base/config.json").read_text("utf-8"))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config | change), "utf-8")
    with pytest.raises(UserError, match=told) as error:
        read_hf(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_head_of_the_usual_width_need_not_be_given():
    given = TINY.model_copy(update={"head_dim": None})
    assert list(differences(TINY, given)) == []
    narrow = TINY.model_copy(update={"head_dim": 16})
    assert list(differences(TINY, narrow)) == [("head_dim", 32, 16)]


def test_the_server_cuts_at_the_window():
    assert (HUB.shape.context, HUB.shape.served) == (32768, 4096)
