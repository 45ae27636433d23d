"""What a Hugging Face folder says of chats: the chat template, and where an answer ends.

Without them, other programs (transformers' ``generate``, vLLM's chat completions) render chats in
another form than the model was trained in, and do not stop at the end of its turn.
"""

from pathlib import Path
from typing import Any

from cai.files.records import read_json, write_json
from cai.models.own_template import OwnTemplate
from cai.models.templates import Template
from cai.models.tokenizer_kinds import Kind

TOKENIZER_CONFIG, GENERATION_CONFIG = "tokenizer_config.json", "generation_config.json"
TEMPLATE_FILE = "chat_template.jinja"  # read before the configuration, where it is there

# Gathers the text first: where an answer begins, spaces at the end are left off.
JINJA = """\
{{%- set all = namespace(text={bos}) -%}}
{{%- if not messages or messages[0]['role'] != 'system' -%}}
{{%- set all.text = all.text + {no_system} -%}}
{{%- endif -%}}
{{%- for message in messages -%}}
{{%- if loop.index0 and messages[loop.index0 - 1]['role'] == 'assistant' -%}}
{{%- set all.text = all.text + {between} -%}}
{{%- endif -%}}
{{%- if message['role'] == 'system' -%}}
{{%- set all.text = all.text + {system} -%}}
{{%- elif message['role'] == 'user' -%}}
{{%- set all.text = all.text + {user} -%}}
{{%- elif message['role'] == 'assistant' -%}}
{{%- set all.text = all.text + {assistant} -%}}
{{%- else -%}}
{{{{ raise_exception('roles are system, user and assistant') }}}}
{{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}
{{{{- (all.text + {begins}).rstrip(' ') -}}}}
{{%- elif messages and messages[-1]['role'] == 'assistant' -%}}
{{{{- all.text + {close} -}}}}
{{%- else -%}}
{{{{- all.text -}}}}
{{%- endif -%}}"""


def jinja(template: Template) -> str:
    """The template as Hugging Face's tokenizers take it: it renders the very same texts."""
    if isinstance(template, OwnTemplate):
        return template.jinja
    return JINJA.format(
        bos="bos_token" if template.add_bos else "''",
        no_system=_literal(template.system.replace("{content}", "")),
        between=_literal(template.between),
        system=_form(template.system),
        user=_form(template.user),
        assistant=_form(template.assistant),
        begins=_literal(template.assistant.split("{content}")[0]),
        close=_literal(template.close),
    )


def _form(text: str) -> str:
    """An expression for a turn: the content in place of its mark, and no other formatting."""
    return " + message['content'] + ".join(map(_literal, text.split("{content}")))


def _literal(text: str) -> str:
    """The text as Jinja reads it, whose texts have Python's escapes."""
    return ascii(text)


def write_chat_template(folder: Path, template: Template) -> None:
    """Write the chat template into a model's folder."""
    known = _read(folder / TOKENIZER_CONFIG)
    write_json(folder / TOKENIZER_CONFIG, known | {"chat_template": jinja(template)})
    (folder / TEMPLATE_FILE).unlink(missing_ok=True)


def write_ends(folder: Path, template: Template, tokenizer: Kind) -> None:
    """Write the tokens and texts that end an answer into a model's folder.

    A stop text that is one token of the tokenizer becomes an end token beside EOS; the others are
    ``stop_strings``, which transformers heeds if it is given the tokenizer, too.
    """
    ends = {} if tokenizer.eos_id is None else {tokenizer.eos_id: None}
    texts = []
    for text in template.stop:
        mark = tokenizer.mark_of(text)
        if mark is None:
            texts.append(text)
        else:
            ends[mark] = None
    generation = _read(folder / GENERATION_CONFIG) | {"eos_token_id": list(ends)}
    if tokenizer.bos_id is not None:
        generation |= {"bos_token_id": tokenizer.bos_id}
    write_json(folder / GENERATION_CONFIG, generation | ({"stop_strings": texts} if texts else {}))


def write_padding(folder: Path, tokenizer: Kind, pad: int | None) -> None:
    """Write how a reward model reads texts: filled up on the right, and without a BOS."""
    named = {} if pad is None else {"pad_token": tokenizer.text_of(pad)}
    fixed = {"padding_side": "right", "add_bos_token": False}
    write_json(folder / TOKENIZER_CONFIG, _read(folder / TOKENIZER_CONFIG) | named | fixed)


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
