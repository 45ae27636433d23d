"""A user's mistake is one line that names the file, what was found and what is accepted."""

import gzip
import json
import os
import pickle
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conversion.support import SCRIPTS, Refused, remake
from tests.messages import pattern


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    """A copy of the model to be spoilt."""
    return shutil.copytree(model, tmp_path / "spoilt")


def edit(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def drop(name: str):
    return lambda folder: (folder / name).unlink()


def to_bin(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def garble(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(b"not a model")


def index_without_shard(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def with_header(change):
    """Weights whose header is changed: ``change`` gets it as an object."""

    def spoil(folder: Path) -> None:
        weights = folder / "model.safetensors"
        data = weights.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        weights.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])

    return spoil


def of_norm(**fields: object):
    return with_header(lambda header: header["model.norm.weight"].update(fields))


def overlapping(header: dict) -> None:
    first, second = (f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1))
    header[second]["data_offsets"] = header[first]["data_offsets"]


def not_numbers(folder: Path) -> None:
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    length = int.from_bytes(data[:8], "little")
    rest = len(data) - 8 - length
    weights.write_bytes(data[: 8 + length] + b"\xff\xff\xff\x7f" * (rest // 4))


def index_outside(name: object):
    return adding("model.safetensors.index.json", {"weight_map": {"model.norm.weight": name}})


def adding(name: str, content: object):
    return lambda folder: (folder / name).write_text(json.dumps(content))


MARK = {"id": 900, "content": "<|im_end|>", "special": True}
SPOILT = {
    "no dtype": (of_norm(dtype=None), "model.norm.weight … dtype None … accepted: F32"),
    "another dtype": (of_norm(dtype="F8_E4M3"), "model.norm.weight … dtype 'F8_E4M3'"),
    "a shape that is none": (of_norm(shape=[True]), "model.norm.weight … shape [True]"),
    "a negative offset": (of_norm(data_offsets=[-4, 124]), "data_offsets [-4, 124]; accepted"),
    "offsets against the shape": (of_norm(data_offsets=[0, 64]), "[32] … F32 … 128 bytes"),
    "offsets beyond the file": (
        of_norm(data_offsets=[10**9, 10**9 + 128]),
        "cut short: model.norm.weight",
    ),
    "tensors in each other": (with_header(overlapping), "self_attn.q_proj.weight … model."),
    "weights that are no numbers": (not_numbers, "embed_tokens.weight: … numbers"),
    "an index that leads out": (index_outside("../x.safetensors"), "weight_map.model.norm.weight"),
    "an index of numbers": (index_outside(7), "found 7; accepted: … .safetensors"),
    "an index without a map": (
        adding("model.safetensors.index.json", []),
        "weight_map: found None; accepted:",
    ),
    "layers: true": (lambda f: edit(f, num_hidden_layers=True), "num_hidden_layers: found True"),
    "too many layers": (lambda f: edit(f, num_hidden_layers=10**9), "0 … up to 10000"),
    "no heads": (lambda f: edit(f, num_attention_heads=0), "num_attention_heads: found 0"),
    "text for a size": (lambda f: edit(f, hidden_size="32"), "hidden_size: found '32'"),
    "no epsilon": (lambda f: edit(f, rms_norm_eps=0), "rms_norm_eps: found 0; accepted: a number"),
    "tied by a text": (lambda f: edit(f, tie_word_embeddings="no"), "accepted: true or false"),
    "tokenizer empty": (
        lambda f: (f / "tokenizer.model").write_bytes(b""),
        "tokenizer.model: … sentencepiece",
    ),
    "added_tokens.json": (
        adding("added_tokens.json", {"<|im_end|>": 900}),
        "token '<|im_end|>' (900) … tokenizer.model",
    ),
    "added tokens of a fast tokenizer": (
        adding("tokenizer.json", {"added_tokens": [MARK]}),
        "tokenizer.json: not a tokenizer",
    ),
    "added tokens of a configuration": (
        adding("tokenizer_config.json", {"added_tokens_decoder": {"900": MARK}}),
        "token '<|im_end|>' (900)",
    ),
    "tokenizer missing": (
        drop("tokenizer.model"),
        "no tokenizer; accepted: tokenizer.model",
    ),
    "tokenizer garbled": (garble, "tokenizer.model: … sentencepiece"),
    "config missing": (drop("config.json"), "config.json: no such file"),
    "bin": (to_bin, "found pytorch_model.bin; accepted: model.safetensors or"),
    "weights missing": (drop("model.safetensors"), "weights … accepted:"),
    "weights cut": (cut, "model.safetensors: … safetensors"),
    "shard missing": (index_without_shard, "model-00001-of-00002.safetensors: no such file"),
    "other model": (lambda f: edit(f, model_type="gpt2"), "model_type: found 'gpt2'; accepted:"),
    "rope scaling": (
        lambda f: edit(f, rope_scaling={"factor": 8}),
        "rope_scaling.rope_type: found",
    ),
    "positions of each kind of layer": (
        lambda f: edit(f, rope_parameters={"full_attention": {"rope_type": "yarn", "factor": 4.0}}),
        "rope_parameters.full_attention: found",
    ),
    "another head": (
        lambda f: edit(f, architectures=["MistralForSequenceClassification"]),
        "architectures: found ['MistralForSequenceClassification']; accepted: ['MistralForCausalLM",
    ),
    "added tokens in a list": (
        adding("tokenizer_config.json", {"added_tokens_decoder": [MARK]}),
        "tokenizer_config.json: added_tokens_decoder: found [",
    ),
    "bias": (
        lambda f: edit(f, model_type="llama", attention_bias=True),
        "attention_bias: found True; accepted: False",
    ),
    "a size missing": (lambda f: edit(f, hidden_size=None), "hidden_size: found None"),
    "a size wrong": (lambda f: edit(f, intermediate_size=7), "gate_proj.weight … shape [48, 32]"),
    "heads": (lambda f: edit(f, num_key_value_heads=3), "num_key_value_heads: found 3; accepted:"),
    "layer missing": (lambda f: edit(f, num_hidden_layers=3), "model.layers.2."),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_folder_is_refused(call, folder, tmp_path, case):
    spoil, message = SPOILT[case]
    spoil(folder)
    with pytest.raises(Refused, match=pattern(message)) as refused:
        call("hf_to_nemo", folder, tmp_path / "out.nemo")
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spoilt"]


def test_a_tokenizer_larger_than_the_embedding_is_refused(call, make_model, pieces, tmp_path):
    source = make_model(tmp_path / "source", vocab_size=pieces - 1)
    with pytest.raises(Refused, match=f"{pieces} .*vocab_size .*{pieces - 1}"):
        call("hf_to_nemo", source, tmp_path / "out.nemo")


def test_too_little_space_is_told_before_writing(call, folder, tmp_path):
    edit(folder, num_hidden_layers=1)
    numbers = 10**13 // 8  # in each of two tensors, of 5 TB
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    rows = numbers // 32
    end = 4 * rows * 32
    start = len(data) - 8 - length
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        place = [start, start + end]
        header[name] = {"dtype": "F32", "shape": [rows, 32], "data_offsets": place}
        start += end
    edit(folder, vocab_size=rows)
    text = json.dumps(header).encode()
    with open(weights, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + start)  # a sparse file
    with pytest.raises(Refused, match=r"out.nemo: .*1\d{4}\.\d\d GB.* [\d.]+ GB"):
        call("hf_to_nemo", folder, tmp_path / "out.nemo")
    assert not (tmp_path / "out.nemo").exists()


def without(part: str):
    return lambda name, content: None if part in name else content


def replacing(part: str, old: bytes, new: bytes):
    return lambda name, content: content.replace(old, new) if part in name else content


def zeroing(name: str, content: bytes) -> bytes:
    return bytes(len(content)) if "distcp" in name else content


class Command:
    def __reduce__(self):
        return os.system, ("echo this must not run",)


def code_in_metadata(name: str, content: bytes) -> bytes:
    return pickle.dumps(Command()) if name.endswith("/.metadata") else content


ARCHIVES = {
    "no config": (without("model_config"), "model_config.yaml"),
    "no weights": (without("distcp"), "model_weights/__0_0.distcp"),
    "an old archive": (without("metadata.json"), "model_weights/metadata.json"),
    "zarr": (replacing("metadata.json", b"torch_dist", b"zarr"), "found 'zarr'; accepted: 'torch"),
    "damaged": (zeroing, "damaged"),
    "code in the metadata": (code_in_metadata, "posix.system"),
    "another model": (
        replacing("model_config", b"fast-swiglu", b"squared-relu"),
        "activation: found 'squared-relu'; accepted: 'fast-swiglu'",
    ),
    "a backend that is no object": (
        lambda name, content: b"[1]" if name.endswith("/metadata.json") else content,
        "metadata.json: … sharded_backend",
    ),
    "layers: true": (
        replacing("model_config", b"num_layers: 2", b"num_layers: true"),
        "num_layers: found True; accepted: … whole number",
    ),
    "other sizes": (
        replacing("model_config", b"ffn_hidden_size: 48", b"ffn_hidden_size: 47"),
        "config",
    ),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_is_refused(call, archive, tmp_path, case):
    change, message = ARCHIVES[case]
    spoilt = remake(archive, tmp_path / "spoilt.nemo", change)
    with pytest.raises(Refused, match=pattern(message)) as refused:
        call("nemo_to_hf", spoilt, tmp_path / "out")
    assert str(spoilt) in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["spoilt.nemo"]


def test_another_head_of_rewards_is_refused(call, archive, tmp_path):
    call("reshard", archive, tmp_path / "reward.nemo", 0, "model.rm_head.weight")
    with pytest.raises(Refused, match=r"rm_head\.weight: shape \(1, 4\); accepted: \(1, 32\)"):
        call("nemo_to_hf", tmp_path / "reward.nemo", tmp_path / "out")
    call("add_head", archive, tmp_path / "mean.nemo", 0.0, {"use_avg_pool": True})
    with pytest.raises(Refused, match="use_avg_pool: found True; accepted: False"):
        call("nemo_to_hf", tmp_path / "mean.nemo", tmp_path / "out")


def test_a_cut_or_compressed_archive_is_refused(call, archive, tmp_path):
    short, packed = tmp_path / "short.nemo", tmp_path / "packed.nemo"
    short.write_bytes(archive.read_bytes()[:20_000])
    packed.write_bytes(gzip.compress(archive.read_bytes()))
    for spoilt in (short, packed):
        with pytest.raises(Refused, match=f"{spoilt.name}: .*tar"):
            call("nemo_to_hf", spoilt, tmp_path / "out")


def test_a_template_of_other_sizes_is_refused(call, archive, folder, tmp_path):
    edit(folder, num_attention_heads=8, head_dim=4)
    with pytest.raises(Refused, match=r"config\.json: heads: found 8.* 4"):
        call("nemo_to_hf", archive, tmp_path / "out", folder)


def test_a_template_with_another_tokenizer_is_refused(call, archive, folder, tmp_path):
    garble(folder)
    with pytest.raises(Refused, match="tokenizer"):
        call("nemo_to_hf", archive, tmp_path / "out", folder)
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(call, archive, folder):
    with pytest.raises(Refused, match="not empty"):
        call("nemo_to_hf", archive, folder)


def test_the_programs_print_one_line(nemo_python, folder, tmp_path):
    to_bin(folder)
    run = subprocess.run(
        [nemo_python, SCRIPTS / "convert_hf_to_nemo.py", folder, tmp_path / "out.nemo"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert re.fullmatch(r"error: .*found pytorch_model\.bin.*\n", run.stderr)
    run = subprocess.run(
        [nemo_python, SCRIPTS / "convert_nemo_to_hf.py", tmp_path / "no.nemo", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (2, f"error: {tmp_path}/no.nemo: no such file\n")


def test_a_full_disk_leaves_nothing_behind(nemo_python, model, tmp_path):
    """A file size limit stands for a disk that fills up while the archive is written."""
    program = f"{SCRIPTS}/convert_hf_to_nemo.py"
    shell = f"ulimit -f 20; trap '' XFSZ; exec {nemo_python} {program} {model} {tmp_path}/out.nemo"
    run = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert run.returncode != 0
    assert list(tmp_path.iterdir()) == []
