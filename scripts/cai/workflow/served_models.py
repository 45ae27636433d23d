"""A model of the run that a person wants to ask: which one it is, and its server."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

from cai.asking.chat_model import ChatModel
from cai.asking.client import Client
from cai.asking.journal.entries import Journal
from cai.asking.protocol import Protocol
from cai.asking.run import exported_folder, loading, protocol_of, served_by, settings_for
from cai.asking.serving import Served
from cai.checks import preflight
from cai.conversion.stored import check_archive
from cai.core.errors import UserError, fail_if
from cai.files.records import read_json
from cai.models.own_template import resolved, template_option
from cai.models.templates import Template
from cai.models.tokens import Tokenizer
from cai.provenance.manifest import identity
from cai.settings import last_stages
from cai.settings.configuration import Settings
from cai.settings.model_servers import ClientSettings, Serving
from cai.workflow import servers

PLACES = {  # within the results, of models that have a name
    "helpful_only": "models/instruct.nemo",
    "instruct": "models/instruct.nemo",
    **{name: f"{name}.nemo" for name in (last_stages.START, *last_stages.POLICIES)},
}


class ModelFile(NamedTuple):
    """A model to ask; pretrained ones are served and spoken to in a way of their own."""

    name: str
    path: Path
    kind: Literal["instruct", "chat"]


@dataclass(frozen=True)
class ServedModel:
    """A model behind its server, and all that is needed to ask it."""

    name: str
    served: Served
    serving: Serving
    template: Template
    tokenizer: Tokenizer
    client: ClientSettings
    context: int

    def protocol(self) -> Protocol:
        """How its server is asked, by one thread at a time."""
        return protocol_of(self.serving, self.served, self.client, self.tokenizer)

    def asker(self, protocol: Protocol) -> Client:
        """A client that remembers what it was asked."""
        return Client(self.served, Journal(None), self.name, self.client, protocol)

    def chat_model(self) -> ChatModel:
        """The model as conversations use it."""
        return ChatModel(self.asker(self.protocol()), self.template, self.tokenizer, self.context)


def model_files(names: Sequence[str], settings: Settings) -> list[ModelFile]:
    """The models of these paths, or of these names in the run's results.

    Raises:
        UserError: there is no such file, or it is no model.
    """
    paths = [
        Path(settings.results, PLACES[name]) if name in PLACES else Path(name) for name in names
    ]
    for path in paths:
        known = "" if path.suffix == ".nemo" else f", nor a model of the run ({', '.join(PLACES)})"
        fail_if(not path.is_file(), f"{path}: no such file{known}; has the workflow made it yet?")
    for path in paths:
        check_archive(path)  # it may be a stranger's, and NeMo unpickles what it holds
    short = [n if n in PLACES else p.stem for n, p in zip(names, paths, strict=True)]
    shown = short if len(set(short)) == len(short) else map(str, paths)
    return [ModelFile(n, p, _kind(p)) for n, p in zip(shown, paths, strict=True)]


def _kind(path: Path) -> Literal["instruct", "chat"]:
    return "instruct" if path.stem == "instruct" else "chat"


def check_server(settings: Settings) -> None:
    """Check that the configured kind of server can be started here.

    Raises:
        UserError: NeMo is not where the configuration says.
    """
    if settings.server.kind != "nemo":
        return
    try:
        preflight.check_nemo_is_here(settings, ["server"])
    except UserError as error:
        raise UserError(
            f"{error}; name the configuration of the run that made the model: --profile "
            "profiles/demo, or --configfile FILE"
        ) from None


def serve(
    model: ModelFile, settings: Settings, template: str | None, stack: ExitStack
) -> ServedModel:
    """Serve a model until the stack ends; the server starts when its address is asked for.

    Args:
        model: what is served.
        settings: of the run: the kind of server, the templates, the context.
        template: how it is spoken to, see :func:`template_of`.
        stack: what ends the server, and removes what was made for it.
    """
    spoken = template_of(model, template, settings)
    log = Path(settings.results, "logs/chat", model.name.replace("/", "_") + ".log")
    serving, tokenizer = settings.server.serving(), Tokenizer(model.path)
    loaded = _exported(model, settings, stack) if serving.kind == "openai" else model.path
    command = loading(servers.command(settings, model.kind), loaded, serving)
    return ServedModel(
        model.name,
        stack.enter_context(served_by(serving, command, None, log)),
        serving,
        spoken,
        tokenizer,
        settings_for(settings.client, tokenizer),
        settings.lengths.context,
    )


def start(model: ServedModel, path: Path) -> None:
    """Start the server of a model, and say so."""
    print(f"starting {model.name} ({path})", file=sys.stderr, flush=True)
    assert model.served.url


def _exported(model: ModelFile, settings: Settings, stack: ExitStack) -> Path:
    """The Hugging Face folder of a model: the workflow's, or one that ends with the stack."""
    mark = Path(servers.mark(str(model.path)))
    if mark.is_file() and read_json(mark).get("nemo") == identity(model.path):
        return exported_folder(mark)
    folder = Path(stack.enter_context(TemporaryDirectory()), model.path.stem)
    converter = "scripts/convert_nemo_to_hf.py"
    program = [settings.nemo.python, converter, str(model.path), str(folder)]
    done = subprocess.run(program, stderr=subprocess.PIPE, text=True)
    fail_if(done.returncode, f"{model.path}: cannot be exported: {done.stderr.strip()[-300:]}")
    return folder


def template_of(model: ModelFile, given: str | None, settings: Settings) -> Template:
    """The template of a model: ``chat`` or ``instruct`` of the run, ``auto``, or JSON."""
    templates: dict[str, Template | Literal["auto"]] = {
        "chat": settings.models.base.template,
        "instruct": settings.models.instruct.template,
    }
    wanted = given or model.kind
    template = templates[wanted] if wanted in templates else template_option(wanted)
    return resolved(template, model.path)
