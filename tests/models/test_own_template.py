"""A model's own chat template renders what transformers renders."""

import json
import subprocess
from pathlib import Path

import pytest
from tests.bpe import write_tokenizer
from tests.models.published_templates import PUBLISHED

from cai.core.errors import UserError
from cai.models.own_template import OwnTemplate, has_template, own_template
from cai.models.tokens import small_files, tokenizer_of_folder

ASK = {"role": "user", "content": " How do I\nmend {content} it? "}
SAID = {"role": "assistant", "content": "With {{ glue }}."}
AGAIN = {"role": "user", "content": "And then, it's 1 + 1?"}
SYSTEM = {"role": "system", "content": "Be brief."}
CONVERSATIONS = [[ASK], [ASK, SAID, AGAIN], [ASK, SAID, AGAIN, SAID, AGAIN]]
RENDER = """
import json, sys
from transformers import AutoTokenizer
folders, conversations = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for folder in folders:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    print(json.dumps([
        tokenizer.apply_chat_template(each, tokenize=False, add_generation_prompt=begins)
        for each in conversations[folder] for begins in (True, False)
    ]))
"""


def folder_of(name: str, place: Path) -> Path:
    """A tokenizer with the template and the marks of a published model."""
    model = PUBLISHED[name]
    folder = place / name.replace(" ", "_")
    write_tokenizer(
        folder, "smollm2", marks=tuple(filter(None, (model.bos, model.eos, *model.marks))),
        bos_token=model.bos or None, eos_token=model.eos, chat_template=model.jinja,
    )  # fmt: skip
    return folder


def template_of(folder: Path) -> OwnTemplate:
    return own_template(small_files(folder), tokenizer_of_folder(folder), str(folder))


def conversations(name: str) -> list[list[dict]]:
    with_system = [[SYSTEM, *turns] for turns in CONVERSATIONS]
    return CONVERSATIONS + with_system * PUBLISHED[name].system


@pytest.fixture(scope="module")
def theirs(nemo_python, tmp_path_factory) -> dict[str, list[str]]:
    """What transformers renders of each template's conversations."""
    place = tmp_path_factory.mktemp("templates")
    folders = {name: str(folder_of(name, place)) for name in PUBLISHED}
    asked = {folder: conversations(name) for name, folder in folders.items()}
    command = [nemo_python, "-c", RENDER, json.dumps([*folders.values()]), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    return dict(zip(folders, map(json.loads, lines), strict=True))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_text_is_that_of_transformers(name, theirs, tmp_path):
    own = template_of(folder_of(name, tmp_path))
    ours = []
    for turns in conversations(name):
        ours += [own.bos + own.prompt(turns), own.bos + own.closed(turns)]
    assert ours == theirs[name]
    assert own.add_bos == any(text.startswith(PUBLISHED[name].bos or "?") for text in ours)


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_marks_and_ends_are_known(name, tmp_path):
    """An answer ends at the EOS, and where the template ends a turn."""
    model, own = PUBLISHED[name], template_of(folder_of(name, tmp_path))
    assert model.eos in own.stop
    assert bool(own.system) is model.system
    assert own.begun([ASK], "Yes") == own.prompt([ASK]) + "Yes"
    ends = {"Gemma": "<end_of_turn>", "Phi-3": "<|end|>"}
    assert ends.get(name, model.eos) in own.stop


def test_a_system_turn_that_a_template_refuses_is_told(tmp_path):
    own = template_of(folder_of("Gemma", tmp_path))
    with pytest.raises(UserError, match="System role not supported"):
        own.prompt([SYSTEM, ASK])


def test_a_template_from_a_stranger_can_do_nothing(tmp_path):
    folder = folder_of("ChatML", tmp_path)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="template: auto"):
        template_of(folder)


def test_a_model_without_one_is_told(tmp_path):
    write_tokenizer(tmp_path, "smollm2")
    assert not has_template(small_files(tmp_path), "it")
    with pytest.raises(UserError, match="found no chat_template"):
        template_of(tmp_path)


def test_the_file_beside_the_configuration_wins(tmp_path):
    folder = folder_of("ChatML", tmp_path)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<{{ m.content }}>{% endfor %}"
    )
    assert template_of(folder).prompt([AGAIN]) == f"<{AGAIN['content']}>"


def test_the_end_of_an_earlier_answer_is_a_space_to_sentencepiece(tmp_path):
    """NeMo's sentencepiece would cut the text of EOS into pieces that no model knows."""
    model = PUBLISHED["Mistral v0.3"]
    demo = Path("demo/models/instruct")
    (tmp_path / "tokenizer.model").write_bytes((demo / "tokenizer.model").read_bytes())
    config = json.loads((demo / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(config | {"chat_template": model.jinja})
    )
    own = template_of(tmp_path)
    assert own.prompt([AGAIN, SAID, AGAIN]).count("</s>") == 0
    assert own.add_bos and own.stop == ["</s>"]
