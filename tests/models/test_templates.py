"""Chat templates of the two configurations, byte for byte."""

import pytest
from pydantic import ValidationError

from cai.models.templates import Template
from cai.settings.configuration import load_settings

QUESTION = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
AGAIN = {"role": "user", "content": "r"}


@pytest.fixture(scope="module")
def models():
    return load_settings(["config/config.yaml"]).models


def test_the_instruct_form(models):
    template = models.instruct.template
    assert template.prompt([QUESTION]) == "[INST] q [/INST]"
    assert template.prompt([QUESTION, ANSWER, AGAIN]) == "[INST] q [/INST] a [INST] r [/INST]"
    assert template.closed([QUESTION, ANSWER]) == "[INST] q [/INST] a</s>"


def test_the_form_of_nemo_aligner(models):
    template = models.base.template
    start = "<extra_id_0>System\n\n<extra_id_1>User\nq\n<extra_id_1>Assistant\n"
    assert template.prompt([QUESTION]) == start
    assert template.closed([QUESTION, ANSWER]) == start + "a\n<extra_id_1>"
    system = {"role": "system", "content": "s"}
    assert template.prompt([system, QUESTION]).startswith("<extra_id_0>System\ns\n<extra_id_1>")


def test_a_closed_conversation_begins_with_the_prompt_that_it_answers(models):
    for template in (models.base.template, models.instruct.template):
        assert template.closed([QUESTION, ANSWER]).startswith(template.prompt([QUESTION]))


def test_content_that_looks_like_a_slot_is_left_alone(models):
    odd = {"role": "user", "content": "{content} {0}"}
    assert "{content} {0}" in models.base.template.prompt([odd])


def test_a_template_without_a_slot_is_refused():
    with pytest.raises(ValidationError, match="must hold"):
        Template(user="x", assistant="{content}", stop=["y"], add_bos=False)
