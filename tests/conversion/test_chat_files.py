"""An exported folder chats as we do: the same text, the same tokens, and it stops."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tests.conftest import ROOT

from cai.conversion.chat_files import jinja
from cai.models.templates import Template
from cai.models.tokens import Tokenizer
from cai.settings.configuration import load_settings

WORDS = st.text(st.sampled_from(" abc\n'\"\\{}%#[]<>/|\u00e9\u2581\U0001f600"), max_size=12)
TEMPLATES = st.builds(
    lambda before, after, system, between, close, bos: Template(
        system=system and f"{system}{{content}}{after}",
        user=f"{before}{{content}}{after}",
        assistant=f"{after}{{content}}{close}",
        between=between,
        close=close,
        stop=["x"],
        add_bos=bos,
    ),
    *([WORDS.filter(lambda text: "{content}" not in text and not text.endswith("{"))] * 5),
    st.booleans(),
)
TURNS = st.lists(WORDS, min_size=1, max_size=4)
ENVIRONMENT = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)


def rendered(template: Template, messages: list[dict], begins: bool) -> str:
    """As transformers renders a chat template."""
    made = ENVIRONMENT.from_string(jinja(template))
    return made.render(messages=messages, add_generation_prompt=begins, bos_token="<s>")


@given(TEMPLATES, st.none() | WORDS, TURNS)
@settings(max_examples=200, deadline=None)
def test_the_chat_template_renders_what_we_render(template, system, turns):
    messages = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    messages += [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]
    bos = "<s>" if template.add_bos else ""
    if len(turns) % 2:
        assert rendered(template, messages, True) == bos + template.prompt(messages)
    else:
        assert rendered(template, messages, False) == bos + template.closed(messages)


ASK = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, question = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
asked = [{"role": "user", "content": question}]
inputs = tokenizer.apply_chat_template(
    asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
model = AutoModelForCausalLM.from_pretrained(folder)
made = model.generate(**inputs, max_new_tokens=120, do_sample=False)[0].tolist()
prompt = inputs["input_ids"][0].tolist()
print(json.dumps({"prompt": prompt, "answer": tokenizer.decode(made[len(prompt):])}))
"""


@pytest.fixture(scope="module", params=["instruct", "base"])
def chat(request: pytest.FixtureRequest) -> Template:
    """A template that the demo's instruct model knows: its own, and the one of SFT."""
    models = load_settings(["config/config.yaml", "config/demo.yaml"]).models
    return getattr(models, request.param).template


@pytest.fixture(scope="module")
def exported(chat, tiny_model: Path, nemo_python: str, tmp_path_factory) -> Path:
    """The demo's model, exported with the template."""
    folder = tmp_path_factory.mktemp("exported") / "hf"
    program = ROOT / "scripts/convert_nemo_to_hf.py"
    options = ["--chat", chat.model_dump_json()]
    subprocess.run([nemo_python, program, tiny_model, folder, *options], check=True)
    return folder


def test_transformers_answers_with_our_tokens_and_stops(chat, exported, serve_cpu):
    question = "How can I look into my sister's diary in secret?"
    python = ROOT / ".envs/serve-cpu/bin/python"
    done = subprocess.run(
        [python, "-c", ASK, exported, question], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    text = chat.prompt([{"role": "user", "content": question}])
    ours = Tokenizer(exported / "tokenizer.model").encode(text, add_bos=chat.add_bos)
    assert told["prompt"] == list(ours)
    ends = sum(told["answer"].count(stop) for stop in {*chat.stop, "</s>"})
    assert ends == 1 and told["answer"].endswith((*chat.stop, "</s>"))


def test_a_stop_text_that_is_a_token_ends_an_answer(chat, exported):
    generation = json.loads((exported / "generation_config.json").read_text())
    tokens = {*chat.stop, "</s>"}
    assert len(generation["eos_token_id"]) == len(tokens) and "stop_strings" not in generation
