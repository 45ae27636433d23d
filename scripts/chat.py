"""Talk to a model, or to several side by side, as the configured server answers for them.

python scripts/chat.py MODEL.nemo                    a conversation
python scripts/chat.py MODEL.nemo "A question"       one answer
python scripts/chat.py A.nemo B.nemo "A question"    their answers side by side
python scripts/chat.py --compare                     helpful-only, SL-CAI and the last stages
"""

import argparse
import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

from pydantic import ValidationError

from cai.asking.chat_model import ChatModel, derived_seed
from cai.asking.journal.entries import Journal
from cai.asking.run import client_of, exported_folder, loading, served_by, settings_for
from cai.checks import preflight
from cai.conversion.stored import check_archive
from cai.core import cli
from cai.core.errors import UserError, fail_if
from cai.evaluation.tables import label
from cai.files.records import read_json
from cai.models.own_template import resolved, template_option
from cai.models.sampling import Sampling
from cai.models.templates import Template
from cai.models.tokens import Tokenizer
from cai.provenance.manifest import identity
from cai.settings.configuration import Settings, load_settings
from cai.settings.last_stages import POLICIES, START
from cai.steps.conversation import Speaker, ask, converse
from cai.workflow import command_line, servers


class Named(NamedTuple):
    """A model to talk to; pretrained ones are served and spoken to in a way of their own."""

    name: str
    path: Path
    kind: Literal["instruct", "chat"]


def main() -> None:
    """Serve the models and hold the conversation."""
    options = _parser().parse_args()
    settings = load_settings(command_line.configuration(options))
    models, question = _models(options, settings)
    if settings.server.kind == "nemo":
        _check_nemo(settings)
    sampling = _sampling(settings.evaluation.answer, options)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    with ExitStack() as stack:
        speakers = [_speaker(model, options, settings, stack) for model in models]
        if question is None:
            converse(speakers, sampling, seed)
        else:
            ask(speakers, question, sampling, derived_seed(seed))


def _check_nemo(settings: Settings) -> None:
    try:
        preflight.check_nemo(settings, ["server"])
    except UserError as error:
        raise UserError(
            f"{error}; name the configuration of the run that made the model: --profile "
            "profiles/demo, or --configfile FILE"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "words", nargs="*", metavar="MODEL.nemo ... QUESTION",
        help="models; without a question, a conversation begins",
    )  # fmt: skip
    parser.add_argument(
        "--compare", action="store_true",
        help="without models: helpful-only, SL-CAI, the last stages that are configured or made",
    )  # fmt: skip
    command_line.add_configuration(parser)
    parser.add_argument(
        "--template", metavar="chat|instruct|auto|JSON",
        help="how the models are spoken to (default: instruct.nemo as instruct, others as chat)",
    )  # fmt: skip
    parser.add_argument(
        "--forget", action="store_true", help="each question begins a new conversation"
    )
    parser.add_argument("--system", metavar="TEXT", help="the system turn")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="longest answer")
    parser.add_argument("--temperature", type=float, metavar="T", help="0: the likeliest answer")
    parser.add_argument("--seed", type=int, help="makes a conversation repeatable")
    return parser


def _models(options: argparse.Namespace, settings: Settings) -> tuple[list[Named], str | None]:
    """The models and the question that the command line names."""
    paths = [Path(word) for word in options.words if word.endswith(".nemo")]
    questions = [word for word in options.words if not word.endswith(".nemo")]
    fail_if(len(questions) > 1, f"expected one question, in quotes, found {questions}")
    if paths:
        for path in filter(Path.is_file, paths):
            check_archive(path)  # it may be a stranger's, and NeMo unpickles what it holds
        unique = len({path.stem for path in paths}) == len(paths)
        models = [Named(path.stem if unique else str(path), path, _kind(path)) for path in paths]
    else:
        fail_if(not options.compare, "name a model (MODEL.nemo), or give --compare")
        models = _stages(settings)
    missing = [model.path for model in models if not model.path.is_file()]
    fail_if(missing, f"{missing and missing[0]}: no such file; has the workflow made it yet?")
    return models, questions[0] if questions else None


def _stages(settings: Settings) -> list[Named]:
    """Helpful-only, SL-CAI and the last stages: those of the configuration, and others made."""
    results = Path(settings.results)
    last = [
        policy
        for policy in POLICIES
        if policy in settings.policies or (results / f"{policy}.nemo").is_file()
    ]
    return [
        Named(label("helpful_only"), results / "models/instruct.nemo", "instruct"),
        *(Named(label(name), results / f"{name}.nemo", "chat") for name in (START, *last)),
    ]


def _kind(path: Path) -> Literal["instruct", "chat"]:
    return "instruct" if path.stem == "instruct" else "chat"


def _sampling(default: Sampling, options: argparse.Namespace) -> Sampling:
    changes: dict[str, object] = {}
    if options.max_tokens is not None:
        changes["max_tokens"] = options.max_tokens
    if options.temperature == 0:
        changes["greedy"] = True
    elif options.temperature is not None:
        changes["temperature"] = options.temperature
    try:
        return Sampling.model_validate(default.model_dump() | changes)
    except ValidationError as error:
        raise UserError(f"option --{cli.describe(error).replace('_', '-', 1)}") from None


def _speaker(
    model: Named, options: argparse.Namespace, settings: Settings, stack: ExitStack
) -> Speaker:
    """Serve a model until the stack ends."""
    log = Path(settings.results, "logs/chat", model.name.replace("/", "_") + ".log")
    template = _template(model, options.template, settings)
    serving, tokenizer = settings.server.serving(), Tokenizer(model.path)
    loaded = _exported(model, settings, stack) if serving.kind == "openai" else model.path
    command = loading(servers.command(settings, model.kind), loaded, serving)
    served = stack.enter_context(served_by(serving, command, None, log))
    asking = settings_for(settings.client, tokenizer)
    client = client_of(serving, served, Journal(None), model.name, asking, tokenizer)
    chat_model = ChatModel(client, template, tokenizer, settings.lengths.context)
    speaker = Speaker(model.name, chat_model, options.system, forgets=options.forget)
    print(f"starting {model.name} ({model.path})", file=sys.stderr, flush=True)
    assert served.url
    return speaker


def _exported(model: Named, settings: Settings, stack: ExitStack) -> Path:
    """The Hugging Face folder of a model: the workflow's, or one that lasts as long as the talk."""
    mark = Path(servers.mark(str(model.path)))
    if mark.is_file() and read_json(mark).get("nemo") == identity(model.path):
        return exported_folder(mark)
    folder = Path(stack.enter_context(TemporaryDirectory()), model.path.stem)
    converter = "scripts/convert_nemo_to_hf.py"
    program = [settings.nemo.python, converter, str(model.path), str(folder)]
    done = subprocess.run(program, stderr=subprocess.PIPE, text=True)
    fail_if(done.returncode, f"{model.path}: cannot be exported: {done.stderr.strip()[-300:]}")
    return folder


def _template(model: Named, given: str | None, settings: Settings) -> Template:
    templates: dict[str, Template | Literal["auto"]] = {
        "chat": settings.models.base.template,
        "instruct": settings.models.instruct.template,
    }
    wanted = given or model.kind
    template = templates[wanted] if wanted in templates else template_option(wanted)
    return resolved(template, model.path)


if __name__ == "__main__":
    cli.run(main)
