"""Hugging Face to .nemo and back keeps every bit, whatever the shape and whoever cut it up."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.bpe import KINDS, write_tokenizer
from tests.conversion.support import SCRIPTS, Refused

from cai.conversion.model_identity import model_identity
from cai.models.families.llama import SCALING
from cai.models.own_template import resolved
from cai.models.tokens import Tokenizer

PLAIN = "{{ bos_token }}{% for m in messages %}Q: {{ m.content }} A: {% endfor %}"

SHAPES = st.fixed_dictionaries(
    {
        "kv_heads": st.integers(1, 3),
        "group": st.integers(1, 4),
        "head_dim": st.sampled_from([2, 6, 8]),
        "hidden_size": st.sampled_from([16, 24]),
        "intermediate_size": st.integers(1, 20),
        "num_hidden_layers": st.integers(1, 3),
        "more_rows": st.integers(0, 9),
        "tie_word_embeddings": st.booleans(),
        "model_type": st.sampled_from(["mistral", "llama", "qwen2"]),
        "rope_theta": st.sampled_from([1e4, 1e6]),
        "rms_norm_eps": st.sampled_from([1e-5, 1e-6]),
        "dtype": st.sampled_from(["float32", "bfloat16", "float16"]),
        "shard_size": st.sampled_from(["5GB", "20KB"]),
    }
)


@given(shape=SHAPES)
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_bit_and_every_logit_comes_back(call, make_model, pieces, shape):
    fields = dict(shape)
    fields["num_key_value_heads"] = fields.pop("kv_heads")
    fields["num_attention_heads"] = fields["num_key_value_heads"] * fields.pop("group")
    fields["vocab_size"] = pieces + fields.pop("more_rows")
    with tempfile.TemporaryDirectory() as folder:
        source = make_model(Path(folder) / "source", **fields)
        there, back = Path(folder) / "there.nemo", Path(folder) / "back"
        call("hf_to_nemo", source, there)
        call("nemo_to_hf", there, back)
        assert call("differing", source, back) == []
        tokens = [1, 5, 9, 2, 30, 31]
        assert call("logits", source, tokens) == call("logits", back, tokens)


# A small model of each published one, by the fields that differ.
LLAMA_31 = {
    "model_type": "llama",
    "max_position_embeddings": 131072,
    "rope_theta": 5e5,
    "rope_scaling": SCALING,
}
PUBLISHED = {
    "Llama 2": {"model_type": "llama"},
    "Llama 3": {"model_type": "llama", "rope_theta": 5e5},
    "Llama 3.1": LLAMA_31,
    "SmolLM2": {"model_type": "llama", "tie_word_embeddings": True, "num_key_value_heads": 1},
    "Mistral v0.1": {"sliding_window": 64},
    "Mistral v0.3": {"rope_theta": 1e6},
    "Qwen2.5-0.5B": {"model_type": "qwen2", "tie_word_embeddings": True, "rope_theta": 1e6},
    "Qwen2.5-7B": {"model_type": "qwen2", "sliding_window": 131072, "rope_theta": 1e6},
}
TOKENS = [1, 5, 9, 2, 30, 31]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_each_published_model_comes_back(call, make_model, pieces, tmp_path, name, dtype):
    """In shards; with its own config.json as the template, and without one."""
    source = make_model(
        tmp_path / "source", dtype, "20KB", vocab_size=pieces + 7, **PUBLISHED[name]
    )
    call("hf_to_nemo", source, tmp_path / "there.nemo")
    for template, back in ((source, tmp_path / "like"), (None, tmp_path / "alone")):
        call("nemo_to_hf", tmp_path / "there.nemo", back, template, "source", 20_000)
        assert call("differing", source, back) == []
        assert call("logits", source, TOKENS) == call("logits", back, TOKENS)
        assert (back / "model.safetensors.index.json").is_file()
    assert read(tmp_path / "like/config.json") == read(source / "config.json")


def test_what_marks_a_family_is_in_the_archive(call, make_model, tmp_path):
    """NeMo's own keys; its code has the numbers of Llama 3.1's scaling."""
    for name, mark in (("Llama 3.1", "scale_positional_embedding"), ("Qwen2.5-7B", "qkv_bias")):
        source = make_model(tmp_path / name, **PUBLISHED[name])
        call("hf_to_nemo", source, tmp_path / "there.nemo")
        config = call("config_of", tmp_path / "there.nemo")
        assert config[mark] is True
        assert "seq_len_interpolation_factor" not in config and "window_size" not in config


def test_a_tied_model_has_an_output_layer_of_its_own(call, make_model, pieces, tmp_path):
    """NeMo-Aligner's reward model asks for one; trained, it is no longer the embedding."""
    source = make_model(tmp_path / "source", **PUBLISHED["SmolLM2"])
    call("hf_to_nemo", source, tmp_path / "there.nemo")
    shapes = call("layout_of", tmp_path / "there.nemo")
    assert shapes["model.output_layer.weight"] == [pieces, 32]
    call("reshard", tmp_path / "there.nemo", tmp_path / "trained.nemo", 0, None, True)
    call("nemo_to_hf", tmp_path / "trained.nemo", tmp_path / "back", source)
    assert read(tmp_path / "back/config.json")["tie_word_embeddings"] is False
    assert call("differing", source, tmp_path / "back") == ["lm_head.weight"]


@pytest.mark.parametrize("other", ["Qwen2.5-7B", "Llama 3.1"])
def test_a_template_of_another_arithmetic_is_refused(call, make_model, archive, tmp_path, other):
    template = make_model(tmp_path / "template", **PUBLISHED[other] | {"sliding_window": None})
    with pytest.raises(Refused, match=r"config\.json: (qkv_bias|scale_positional_embedding)"):
        call("nemo_to_hf", archive, tmp_path / "back", template)


def test_what_two_ranks_wrote_comes_back_without_the_padding(call, model, archive, tmp_path):
    resharded, back = tmp_path / "resharded.nemo", tmp_path / "back"
    call("reshard", archive, resharded, 8)
    call("nemo_to_hf", resharded, back)
    assert call("differing", model, back) == []


def test_a_template_lends_its_files_and_names(call, make_model, tmp_path):
    source = make_model(tmp_path / "source", model_type="llama", rope_theta=5e5)
    (source / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    call("hf_to_nemo", source, tmp_path / "there.nemo")
    call("nemo_to_hf", tmp_path / "there.nemo", tmp_path / "back", source)
    assert read(tmp_path / "back/config.json") == read(source / "config.json")
    for name in ("tokenizer_config.json", "tokenizer.model", "generation_config.json"):
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes()


def test_without_a_template_the_tokenizer_works(call, archive, tmp_path):
    import sentencepiece

    call("nemo_to_hf", archive, tmp_path / "back")
    own = sentencepiece.SentencePieceProcessor(str(tmp_path / "back/tokenizer.model"))
    text = "write a polite answer"
    assert call("tokens_of", tmp_path / "back", text) == [own.bos_id(), *own.encode(text)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_hugging_face_tokenizer_is_in_the_archive(call, make_model, tmp_path, kind):
    """With its chats and its ends; and an export has the same files, and gives the same tokens."""
    source = make_model(tmp_path / "source", vocab_size=420, model_type="llama")
    (source / "tokenizer.model").unlink()
    write_tokenizer(source, kind, chat_template="{{ messages }}")
    call("hf_to_nemo", source, tmp_path / "there.nemo")
    own = Tokenizer(tmp_path / "there.nemo")
    call("nemo_to_hf", tmp_path / "there.nemo", tmp_path / "back")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes()
    text = "Write (A), it's 1234."
    tokens = call("tokens_of", tmp_path / "back", text)
    assert tokens[-len(own.encode(text)) :] == own.encode(text)
    assert read(tmp_path / "back/config.json")["eos_token_id"] == own.eos_id
    assert not (tmp_path / "back/tokenizer.model").exists()


def test_the_chat_template_of_a_sentencepiece_model_is_in_the_archive(
    call, make_model, archive, tmp_path
):
    """What a model is does not depend on how one chats with it; without one nothing is added."""
    source = make_model(tmp_path / "source")
    config = {"eos_token": "</s>", "bos_token": "<s>", "chat_template": PLAIN}
    (source / "tokenizer_config.json").write_text(json.dumps(config))
    call("hf_to_nemo", source, tmp_path / "there.nemo")
    own = resolved("auto", tmp_path / "there.nemo")
    assert own.prompt([{"role": "user", "content": "Hi"}]) == "Q: Hi A:" and own.add_bos
    assert model_identity(tmp_path / "there.nemo") == model_identity(archive)
    with tarfile.open(archive) as tar:
        assert not [name for name in tar.getnames() if "hf_tokenizer" in name]


def test_a_sliding_window_is_kept_both_ways(call, make_model, tmp_path):
    source = make_model(tmp_path / "source", sliding_window=64)
    call("hf_to_nemo", source, tmp_path / "there.nemo")
    config = call("config_of", tmp_path / "there.nemo")
    assert (config["window_size"], config["encoder_seq_length"]) == ([64, 0], 64)
    call("nemo_to_hf", tmp_path / "there.nemo", tmp_path / "back")
    assert read(tmp_path / "back/config.json")["sliding_window"] == 64


def test_the_dtype_can_be_changed(call, make_model, model, tmp_path):
    narrow = make_model(tmp_path / "narrow", dtype="bfloat16")
    call("hf_to_nemo", model, tmp_path / "there.nemo", "bf16")
    call("nemo_to_hf", tmp_path / "there.nemo", tmp_path / "back")
    assert read(tmp_path / "back/config.json")["torch_dtype"] == "bfloat16"
    call("hf_to_nemo", narrow, tmp_path / "wide.nemo", "fp32")
    call("nemo_to_hf", tmp_path / "wide.nemo", tmp_path / "narrowed", None, "bf16")
    assert call("differing", narrow, tmp_path / "narrowed") == []


def test_shards_stay_under_the_limit(call, model, archive, tmp_path):
    limit = 20_000
    call("nemo_to_hf", archive, tmp_path / "back", None, "source", limit)
    index = read(tmp_path / "back/model.safetensors.index.json")
    shards = sorted((tmp_path / "back").glob("*.safetensors"))
    assert sorted(set(index["weight_map"].values())) == [shard.name for shard in shards]
    largest = max(shard.stat().st_size for shard in shards)
    assert largest < limit + 48 * 32 * 4 * 8  # the embedding alone is larger than the limit
    assert len(shards) > 3
    assert call("differing", model, tmp_path / "back") == []


def test_the_vocabulary_loads_at_every_tensor_parallel_size(call, make_model, pieces, tmp_path):
    rows = -(-pieces // 32) * 32
    source = make_model(tmp_path / "source", vocab_size=rows)
    call("hf_to_nemo", source, tmp_path / "there.nemo")
    divisor = call("config_of", tmp_path / "there.nemo")["make_vocab_size_divisible_by"]
    padded = [-(-pieces // (divisor * size)) * divisor * size for size in (1, 2, 4)]
    assert padded == [rows] * 3


def test_the_same_input_gives_the_same_bytes(call, model, archive, tmp_path):
    moved = shutil.copytree(model, tmp_path / "moved")
    os.utime(moved / "model.safetensors", (0, 0))
    call("hf_to_nemo", moved, tmp_path / "again.nemo")
    assert (tmp_path / "again.nemo").read_bytes() == archive.read_bytes()


def test_the_digest_sees_the_content_alone(call, model, archive, make_model, tmp_path):
    digest = call("weights_digest", archive)
    repacked = tmp_path / "repacked.nemo"
    with tarfile.open(archive) as source, tarfile.open(repacked, "w") as target:
        for member in reversed(source.getmembers()):
            member.mtime = 1_700_000_000
            target.addfile(member, source.extractfile(member))
    assert repacked.read_bytes() != archive.read_bytes()
    assert call("weights_digest", repacked) == digest
    call("reshard", archive, tmp_path / "resharded.nemo", 0)
    assert call("weights_digest", tmp_path / "resharded.nemo") == digest

    other = shutil.copytree(model, tmp_path / "other")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    call("hf_to_nemo", other, tmp_path / "other.nemo")
    assert call("weights_digest", tmp_path / "other.nemo") != digest


def test_memory_does_not_grow_with_the_model(nemo_python, model, tmp_path):
    small = peak_memory(nemo_python, model, tmp_path / "small.nemo")
    large = tmp_path / "large"
    write_zeros(model, large, layers=60)
    grown = peak_memory(nemo_python, large, tmp_path / "large.nemo")
    size = (tmp_path / "large.nemo").stat().st_size
    assert size > 120e6
    assert grown - small < 0.25 * size


def write_zeros(model: Path, folder: Path, layers: int) -> None:
    """A folder of ``layers`` layers of zeros of some 2.4 MB each, in one sparse file."""
    hidden, ffn = 256, 512
    config = read(model / "config.json")
    config |= {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": ffn}
    config |= {"head_dim": 64}
    folder.mkdir()
    shutil.copyfile(model / "tokenizer.model", folder / "tokenizer.model")
    (folder / "config.json").write_text(json.dumps(config))
    square, narrow = [hidden, hidden], [128, hidden]
    shapes = {"embed_tokens": [config["vocab_size"], hidden], "norm": [hidden]}
    for layer in range(layers):
        attention, mlp = f"layers.{layer}.self_attn", f"layers.{layer}.mlp"
        shapes |= {f"{attention}.q_proj": square, f"{attention}.o_proj": square}
        shapes |= {f"{attention}.k_proj": narrow, f"{attention}.v_proj": narrow}
        shapes |= {f"{mlp}.gate_proj": [ffn, hidden], f"{mlp}.up_proj": [ffn, hidden]}
        shapes |= {f"{mlp}.down_proj": [hidden, ffn]}
        shapes |= {f"layers.{layer}.input_layernorm": [hidden]}
        shapes |= {f"layers.{layer}.post_attention_layernorm": [hidden]}
    names = {f"model.{name}.weight": shape for name, shape in shapes.items()}
    names["lm_head.weight"] = [config["vocab_size"], hidden]
    header, end = {}, 0
    for name, shape in names.items():
        begin = end
        end += 4 * (shape[0] * shape[1] if len(shape) == 2 else shape[0])
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)


def peak_memory(python: str, source: Path, target: Path) -> int:
    """The largest resident size (bytes) of a conversion by the program."""
    command = [python, SCRIPTS / "convert_hf_to_nemo.py", source, target]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return usage.ru_maxrss * 1024


def read(path: Path) -> dict:
    return json.loads(path.read_text())
