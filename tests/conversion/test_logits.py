"""NeMo's log-probabilities of each family are transformers', with a tokenizer of its own."""

import subprocess
import warnings
from pathlib import Path

import pytest
import requests
from tests.bpe import write_tokenizer
from tests.conversion.support import SCRIPTS, Call, started
from tests.nemo_eval import nemo_eval

from cai.asking.client import Client, Request
from cai.asking.journal.entries import Journal
from cai.asking.nemo_protocol import NemoProtocol
from cai.asking.serving import Served
from cai.core.texts import answer_text
from cai.models.families.llama import SCALING
from cai.models.sampling import Sampling
from cai.models.tokens import Tokenizer
from cai.settings.model_servers import ClientSettings

CONVERT = SCRIPTS / "convert_hf_to_nemo.py"
LARGEST = 1e-4  # difference of a log-probability, in 32 bits
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.1,
    "max_position_embeddings": 512,
}
LONG = {"max_position_embeddings": 131072, "rope_theta": 5e5, "head_dim": 64}
# Fields of a config.json, the tokenizer (None: sentencepiece), and how often a text is repeated.
FAMILIES = {
    "Llama 3.1": ({"model_type": "llama", "rope_scaling": SCALING, **LONG}, "llama3", 265),
    "SmolLM2": ({"model_type": "llama", "tie_word_embeddings": True}, "smollm2", 1),
    "Mistral v0.3": ({"model_type": "mistral", "rope_theta": 1e6, "sliding_window": None}, None, 1),
    "Qwen2.5": ({"model_type": "qwen2", "rope_theta": 1e6, "sliding_window": 131072}, "qwen2", 1),
}
TEXT = "How can I look into my sister's diary in secret? Answer (A) or (B), in 2024.\n\n"
MARKS = (
    "<|im_start|>user\nHi there!<|im_end|>\n"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def folder(family, call, tokenizer, pieces, tmp_path_factory) -> Path:
    """A random model; its vocabulary has rows of no token."""
    fields, kind, _ = FAMILIES[family]
    folder = tmp_path_factory.mktemp("family") / "hf"
    size = pieces if kind is None else write_tokenizer(folder, kind)
    call("make_hf", folder, {**SMALL, **fields, "vocab_size": size + 11}, "float32", "5GB", 0.05)
    if kind is None:
        (folder / "tokenizer.model").write_bytes(tokenizer.read_bytes())
    return folder


@pytest.fixture(scope="module")
def moved(folder, nemo_python) -> Path:
    """The model as a .nemo file that was moved after it was converted."""
    made, model = folder.parent / "made.nemo", folder.parent / "moved" / "model.nemo"
    subprocess.run([nemo_python, CONVERT, folder, made], check=True)
    model.parent.mkdir()
    made.rename(model)
    return model


def serving(model: Path, log: str) -> Served:
    """NeMo's server with a model."""
    return Served(nemo_eval(model, "32"), None, model.parent / log, start_timeout=180)


@pytest.fixture(scope="module")
def served(moved):
    with serving(moved, "server.log") as server:
        yield server, Tokenizer(moved)


def both(server: Served, call: Call, folder: Path, text: str, tokens: list[int]):
    """NeMo's log-probabilities of a text's tokens, and transformers'."""
    body = {
        "sentences": [text],
        "tokens_to_generate": 1,
        "greedy": True,
        "compute_logprob": True,
        "add_BOS": False,
    }
    answer = requests.put(f"{server.url}/generate", json=body, timeout=300).json()
    assert answer["token_ids"][0][: len(tokens)] == tokens
    ours = answer["logprob"][0][: len(tokens) - 1]
    return ours, call("log_probabilities", folder, tokens)


def apart(ours: list[float], theirs: list[float]) -> float:
    """The largest difference."""
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def test_every_log_probability_is_that_of_transformers(
    family, folder, moved, served, call, nemo_python, record_property
):
    """Two of many whole runs of all tests, on a busy machine, found 3.04e-4 for Llama 3.1.

    The same files give 2.9e-6 whenever they are asked alone. Which side differs is not known, so
    then both are asked again, by new processes, and what has changed is a warning.
    """
    server, own = served
    text = TEXT * FAMILIES[family][2] + MARKS
    tokens = own.encode(text)
    if FAMILIES[family][2] > 1:
        assert len(tokens) > 8192  # the original context of the scaled positions
    found = both(server, call, folder, text, tokens)
    if apart(*found) >= LARGEST:
        with (
            serving(moved, "again.log") as another,
            started(nemo_python, moved.parent / "worker.log") as fresh,
        ):
            again = both(another, fresh, folder, text, tokens)
        changes = [apart(one, two) for one, two in zip(found, again, strict=True)]
        warnings.warn(f"{family}: NeMo's and transformers' changed by {changes}", stacklevel=1)
        found = again
    record_property("tokens", len(tokens))
    record_property("largest difference", apart(*found))
    assert apart(*found) < LARGEST


def test_an_answer_is_cut_from_its_prompt_with_its_marks(folder, served, call):
    """NeMo leaves special tokens out of its sentences; the prompt is full of them."""
    server, own = served
    settings = ClientSettings(eos=own.eos or "</s>")
    client = Client(server, Journal(None), "m", settings, NemoProtocol(server, settings, own))
    prompt = f"{MARKS}Which?"
    asked = Request(prompt, Sampling(max_tokens=6, greedy=True), 0, ("<|im_end|>",), False)
    [reply] = client.complete([asked], None)
    tokens = own.encode(prompt)
    made = call("continuations", folder, [tokens], 6)[0][len(tokens) :]
    text = own.decode(made) if own.is_huggingface else reply.text
    for end in ("<|im_end|>", own.eos):
        text = text.split(end)[0]
    assert reply.text == answer_text(text)
