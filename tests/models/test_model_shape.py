"""A model's sizes come from its own files, wherever they are; the configured ones are a promise."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.core.errors import UserError
from cai.models.families.decoder import rope_theta
from cai.models.families.known import family_of
from cai.models.families.llama import SCALING
from cai.models.shape import ModelShape, differences, read_hf, read_nemo
from cai.models.sizes import hf_sizes
from cai.settings.configuration import load_settings
from cai.settings.found_shape import shape_in_files

TINY = ModelShape(
    hidden=128, layers=6, heads=4, kv_heads=2, ffn=352, vocab=2048, context=512, head_dim=32
)
CONFIG = json.loads(Path("demo/models/base/config.json").read_text("utf-8"))
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


YARN = {"rope_type": "yarn", "factor": 4.0}
SCALED = {"rope_parameters": {"full_attention": YARN | {"rope_theta": 1e6}}}
REFUSED = [
    # sizes
    ({"num_hidden_layers": None}, "num_hidden_layers: found None"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers: found 1000000000"),
    ({"hidden_size": "wide"}, "hidden_size: found 'wide'"),
    ({"hidden_size": "128"}, "hidden_size: found '128'"),
    ({"hidden_size": 130, "head_dim": None}, "hidden_size: found 130; accepted: a multiple of 4"),
    ({"num_key_value_heads": 3}, "num_key_value_heads: found 3; accepted: a divisor of 4 heads"),
    ({"max_position_embeddings": 512.0}, "max_position_embeddings: found 512.0"),
    ({"sliding_window": 0}, "sliding_window: found 0"),
    # other numbers
    ({"rope_theta": None}, "rope_theta: found None"),
    ({"rope_theta": 10**400}, "rope_theta: found 1000"),
    ({"rms_norm_eps": -1}, "rms_norm_eps: found -1"),
    ({"rms_norm_eps": None}, "rms_norm_eps: found None"),
    ({"rms_norm_eps": "1e-5"}, "rms_norm_eps: found '1e-5'"),
    ({"tie_word_embeddings": "false"}, "tie_word_embeddings: found 'false'"),
    # positions
    ({**SCALED, "rope_theta": None}, "rope_parameters.full_attention: found {"),
    ({"rope_scaling": {"rope_type": "default"}, "rope_parameters": YARN}, "rope_parameters: found"),
    ({"rope_parameters": YARN | {"rope_type": None}}, "rope_parameters.rope_type: found None"),
    ({"rope_parameters": {"factor": 4}}, "rope_parameters.rope_type: found None"),
    ({"rope_parameters": [YARN]}, r"rope_parameters: found \["),
    ({"rope_scaling": 2}, "rope_scaling: found 2"),
    ({"rope_scaling": {"type": "default", "rope_type": "linear"}}, "rope_scaling.type: found"),
    ({"rope_parameters": {"rope_theta": 1e6}}, "rope_theta: found 10000.0; .* 1000000.0"),
    ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "rope_parameters.partial_rotary_factor"),
    ({"rope_scaling": SCALING, "model_type": "llama", "rope_parameters": YARN}, "rope_parameters"),
    # what else computes in another way
    ({"architectures": ["MistralForSequenceClassification"]}, "architectures: found"),
    ({"architectures": ["MistralModel"]}, "architectures: found .* accepted: .'MistralForCausalLM"),
    ({"architectures": "MistralForCausalLM"}, "architectures: found"),
    ({"model_type": "qwen2", "architectures": ["Qwen2ForRewardModel"]}, "architectures: found"),
    ({"auto_map": {"AutoModelForCausalLM": "modeling.Own"}}, "auto_map: found"),
    ({"compression_config": {"format": "pack-quantized"}}, "compression_config: found"),
    ({"quantization": {"bits": 4}}, "quantization: found"),
    ({"layer_types": ["linear_attention"] * 6}, "layer_types: found"),
    ({"layer_types": 5}, "layer_types: found 5"),
]


@pytest.mark.parametrize(("change", "told"), REFUSED)
def test_a_config_that_cannot_be_converted_is_told_in_one_line(tmp_path, change, told):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG | change), "utf-8")
    with pytest.raises(UserError, match=told) as error:
        read_hf(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"^model@1: config\.json: "):
        read_hf(path, "model@1: config.json")


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": None, "layer_types": ["full_attention"] * 6, "auto_map": None},
        {"rope_scaling": None, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        {"rope_scaling": {"type": "default"}, "rope_parameters": {"rope_theta": 1e4}},
        {"rope_theta": None, "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}},
        {"head_dim": None, "num_key_value_heads": 2},
    ],
)
def test_another_way_to_write_the_same_model(tmp_path, change):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG | change), "utf-8")
    assert read_hf(path) == TINY


def test_the_base_is_found_wherever_it_stands():
    theta = {"rope_theta": 5e5}
    for config in (theta, {"rope_parameters": theta}, {"rope_scaling": theta}):
        assert rope_theta(config) == 5e5
    assert rope_theta({}) == 1e4


def test_a_window_that_is_not_named_is_that_of_transformers(tmp_path):
    path = tmp_path / "config.json"
    unnamed = {name: value for name, value in CONFIG.items() if name != "sliding_window"}
    path.write_text(json.dumps(unnamed), "utf-8")
    assert read_hf(path).window == 4096


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
ROPE = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("rope_type", "type", "rope_theta", "factor", "x"), ANYTHING)
)
FIELDS = [*CONFIG, "rope_scaling", "rope_parameters", "layer_types", "auto_map", "architectures"]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING | ROPE, min_size=1, max_size=3))
def test_whatever_a_config_holds_it_is_read_or_told(change):
    config = CONFIG | change
    try:
        family_of(config, "config.json")
        sizes = hf_sizes(config, "config.json")
    except UserError as error:
        assert str(error).startswith("config.json: ") and "\n" not in str(error)
    else:
        ModelShape(**sizes)  # what is read makes sense
        assert 0 < float(rope_theta(config)) < float("inf")


def test_a_head_of_the_usual_width_need_not_be_given():
    given = TINY.model_copy(update={"head_dim": None})
    assert list(differences(TINY, given)) == []
    narrow = TINY.model_copy(update={"head_dim": 16})
    assert list(differences(TINY, narrow)) == [("head_dim", 32, 16)]


def test_the_server_cuts_at_the_window():
    assert (HUB.shape.context, HUB.shape.served) == (32768, 4096)
