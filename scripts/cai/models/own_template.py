"""A model's own chat template: Jinja in its tokenizer's files, rendered as transformers does.

Source: ``render_jinja_template`` and ``_compile_jinja_template`` of transformers. The sandbox is
theirs, too: a template from a stranger can change nothing and call little.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NoReturn

from jinja2 import Template as Compiled
from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cai.core.cli import json_option
from cai.core.errors import UserError
from cai.core.shown import one_line
from cai.files.members import Members
from cai.models.nemo_tokenizer import files_of, read_tokenizer
from cai.models.templates import AUTO, Message, Template
from cai.models.tokenizer_kinds import TOKENIZER_CONFIG, Kind, named_tokens, read_object

CHAT_FILE, GENERATION = "chat_template.jinja", "generation_config.json"
DEFAULT = "default"  # of several templates
CONTENT = "{content}"
ROLES: tuple[Message, ...] = (
    {"role": "user", "content": "\x00u"},
    {"role": "assistant", "content": "\x00a"},
    {"role": "user", "content": "\x00v"},
)


class OwnTemplate(Template):
    """A model's own template; its forms are what it sets around turns, read from what it renders.

    Attributes:
        jinja: its text.
        tokens: the special tokens that it may name: ``bos_token``, ``eos_token`` ...
        bos: what it writes for BOS at the beginning, which NeMo adds as a token.
        exact: whether spaces at the end of a prompt stay, as a sentencepiece model's may not.
    """

    jinja: str
    tokens: dict[str, str]
    bos: str
    exact: bool

    def prompt(self, messages: Sequence[Message]) -> str:
        """See :meth:`cai.models.templates.Template.prompt`."""
        text = self._text(messages, begins=True)
        return text if self.exact else text.rstrip(" ")

    def begun(self, messages: Sequence[Message], words: str) -> str:
        """See :meth:`cai.models.templates.Template.begun`."""
        return self._text(messages, begins=True) + words

    def closed(self, messages: Sequence[Message]) -> str:
        """See :meth:`cai.models.templates.Template.closed`."""
        return self._text(messages, begins=False)

    def _text(self, messages: Sequence[Message], begins: bool) -> str:
        return rendered(self.jinja, messages, self.tokens, begins=begins).removeprefix(self.bos)


def rendered(
    jinja: str, messages: Sequence[Message], tokens: Mapping[str, str], *, begins: bool
) -> str:
    """A conversation as the template writes it.

    Args:
        jinja: the template.
        messages: the conversation.
        tokens: special tokens by their names.
        begins: whether the assistant's next turn begins at the end.

    Raises:
        UserError: it is no template, or refuses the conversation.
    """
    try:
        return _compiled(jinja).render(
            messages=list(messages),
            tools=None,
            documents=None,
            add_generation_prompt=begins,
            **tokens,
        )
    except (TemplateError, TypeError, ValueError, LookupError, OverflowError) as error:
        raise UserError(
            f"the model's own chat template (template: auto): {one_line(str(error))}; accepted: "
            "one that renders the conversation, or a template in the configuration"
        ) from None


def template_option(text: str) -> Template | Literal["auto"]:
    """An argparse ``type``: a template as JSON, or ``auto``."""
    return AUTO if text == AUTO else json_option(Template)(text)


def as_option(template: Template | Literal["auto"]) -> str:
    """A template as :func:`template_option` reads it."""
    return template if isinstance(template, str) else template.model_dump_json()


def resolved(template: Template | Literal["auto"], model: Path) -> Template:
    """The template, which is the model's own where it is ``auto``.

    Args:
        template: as an option gives it.
        model: the ``.nemo``.

    Raises:
        UserError: the model has none.
    """
    if isinstance(template, Template):
        return template
    with Members(model) as members:
        return own_template(files_of(members), read_tokenizer(members), str(model))


def own_template(files: Mapping[str, bytes], tokenizer: Kind, where: str) -> OwnTemplate:
    """The template in a model's files.

    Args:
        files: contents by name, as in a Hugging Face folder.
        tokenizer: the model's.
        where: the model's name in errors.

    Raises:
        UserError: there is none, or it cannot be rendered.
    """
    jinja = _jinja(files, where)
    tokens = named_tokens(files, where)
    bos = tokens.get("bos_token", "")
    if not tokenizer.is_huggingface and "eos_token" in tokens:
        tokens["eos_token"] = " "  # NeMo's sentencepiece would cut the text of an EOS into pieces
    asked = rendered(jinja, ROLES[:1], tokens, begins=True)
    has_bos = bool(bos) and asked.startswith(bos)
    before, _, after = asked.removeprefix(bos if has_bos else "").partition("\x00u")
    whole = rendered(jinja, ROLES, tokens, begins=True)
    close = rendered(jinja, ROLES[:2], tokens, begins=False).partition("\x00a")[2]
    between = whole.partition("\x00a")[2].partition("\x00v")[0]
    return OwnTemplate(
        system=_system(jinja, tokens),
        user=f"{before}{CONTENT}",
        assistant=f"{after}{CONTENT}",
        between=between.removeprefix(close),
        close=close,
        stop=_stops(files, tokenizer, close, where),
        add_bos=has_bos,
        jinja=jinja,
        tokens=tokens,
        bos=bos if has_bos else "",
        exact=tokenizer.is_huggingface,
    )


def has_template(files: Mapping[str, bytes], where: str) -> bool:
    """Whether a model's files have a chat template."""
    return CHAT_FILE in files or "chat_template" in read_object(files, TOKENIZER_CONFIG, where)


def _jinja(files: Mapping[str, bytes], where: str) -> str:
    if CHAT_FILE in files:  # read before the configuration, where it is there
        return files[CHAT_FILE].decode("utf-8", "replace")
    found = read_object(files, TOKENIZER_CONFIG, where).get("chat_template")
    if isinstance(found, list):
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get(DEFAULT)
    if not isinstance(found, str):
        raise UserError(
            f"{where}: template: auto: found no chat_template in {TOKENIZER_CONFIG}; accepted: a "
            "model that has one, or a template in the configuration"
        )
    return found


def _system(jinja: str, tokens: Mapping[str, str]) -> str:
    """A form for a system turn; empty if the template refuses one."""
    messages: list[Message] = [{"role": "system", "content": "\x00s"}, *ROLES[:1]]
    try:
        text = rendered(jinja, messages, tokens, begins=True)
    except UserError:
        return ""
    before, found, _ = text.partition("\x00s")
    return f"{before}{CONTENT}" if found else ""


def _stops(files: Mapping[str, bytes], tokenizer: Kind, close: str, where: str) -> list[str]:
    """The tokens that end a turn: EOS, those of the generation, and the first one after a turn."""
    listed = read_object(files, GENERATION, where).get("eos_token_id")
    ends = listed if isinstance(listed, list) else [listed]
    ids = [end for end in (tokenizer.eos_id, *ends) if isinstance(end, int)]
    texts = [tokenizer.text_of(end) for end in ids if 0 <= end < tokenizer.size]
    after = {mark: close.find(mark) for mark in tokenizer.marks if mark in close}
    texts += sorted(after, key=lambda mark: after[mark])[:1]
    return list(dict.fromkeys(texts))


@lru_cache(maxsize=8)
def _compiled(jinja: str) -> Compiled:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _json
    environment.globals["raise_exception"] = _raise
    # `strftime_now` is left out: a text with the date of today is not the same twice.
    return environment.from_string(jinja)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
