"""Talk to a model, or to several side by side, as the configured server answers for them.

python scripts/chat.py MODEL.nemo                    a conversation
python scripts/chat.py MODEL.nemo "A question"       one answer
python scripts/chat.py A.nemo B.nemo "A question"    their answers side by side
python scripts/chat.py --compare                     helpful-only, SL-CAI and the last stages
"""

import argparse
import secrets
from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError

from cai.asking.chat_model import derived_seed
from cai.core import cli
from cai.core.errors import UserError, fail_if
from cai.evaluation.tables import label
from cai.models.sampling import Sampling
from cai.settings.configuration import Settings, load_settings
from cai.settings.last_stages import POLICIES, START
from cai.steps.conversation import Speaker, ask, converse
from cai.workflow import command_line
from cai.workflow.served_models import ModelFile, check_server, model_files, serve, start


def main() -> None:
    """Serve the models and hold the conversation."""
    options = _parser().parse_args()
    settings = load_settings(command_line.configuration(options))
    models, question = _models(options, settings)
    check_server(settings)
    sampling = _sampling(settings.evaluation.answer, options)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    with ExitStack() as stack:
        speakers = [_speaker(model, options, settings, stack) for model in models]
        if question is None:
            converse(speakers, sampling, seed)
        else:
            ask(speakers, question, sampling, derived_seed(seed))


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


def _models(options: argparse.Namespace, settings: Settings) -> tuple[list[ModelFile], str | None]:
    """The models and the question that the command line names."""
    names = [word for word in options.words if word.endswith(".nemo")]
    questions = [word for word in options.words if not word.endswith(".nemo")]
    fail_if(len(questions) > 1, f"expected one question, in quotes, found {questions}")
    fail_if(not names and not options.compare, "name a model (MODEL.nemo), or give --compare")
    models = model_files(names, settings) if names else _stages(settings)
    return models, questions[0] if questions else None


def _stages(settings: Settings) -> list[ModelFile]:
    """Helpful-only, SL-CAI and the last stages: those of the configuration, and others made."""
    made = [name for name in POLICIES if Path(settings.results, f"{name}.nemo").is_file()]
    last = [name for name in POLICIES if name in (*settings.policies, *made)]
    models = model_files(["helpful_only", START, *last], settings)
    return [model._replace(name=label(model.name)) for model in models]


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
    model: ModelFile, options: argparse.Namespace, settings: Settings, stack: ExitStack
) -> Speaker:
    """Serve a model until the stack ends."""
    served = serve(model, settings, options.template, stack)
    speaker = Speaker(model.name, served.chat_model(), options.system, forgets=options.forget)
    start(served, model.path)
    return speaker


if __name__ == "__main__":
    cli.run(main)
