"""A rendered text gives its conversation back, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.data.dialogues import clashes
from cai.models.rendered import read_back
from cai.models.templates import Template
from cai.settings.configuration import load_settings

MODELS = load_settings(["config/config.yaml"]).models
CHATML = Template(
    system="<|im_start|>system\n{content}<|im_end|>\n",
    user="<|im_start|>user\n{content}<|im_end|>\n",
    assistant="<|im_start|>assistant\n{content}<|im_end|>",
    between="\n",
    close="\n",
    stop=["<|im_end|>"],
    add_bos=False,
)
TEMPLATES = [MODELS.base.template, MODELS.instruct.template, CHATML]
TEXTS = st.text(alphabet="ab .\n[]<", min_size=1).map(str.strip).filter(bool)


@given(st.sampled_from(TEMPLATES), st.lists(TEXTS, min_size=1, max_size=6), st.none() | TEXTS)
def test_a_conversation_is_read_back_from_its_text(template, turns, system):
    messages = [
        {"role": ("user", "assistant")[place % 2], "content": text}
        for place, text in enumerate(turns)
    ]
    if system and template.system:
        messages.insert(0, {"role": "system", "content": system})
    assert not clashes(messages, template)
    closed = messages[-1]["role"] == "assistant"
    text = template.closed(messages) if closed else template.prompt(messages)
    assert read_back(text, template) == messages


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("text", ["", "Hello", "[INST] q", "<extra_id_1>User\nq\n", "a</s>"])
def test_another_text_is_no_conversation(template, text):
    assert read_back(text, template) is None
