"""The options that the programs which ask a model have in common."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cai.core.cli import add_json_option, existing_file, positive, split_commands
from cai.core.errors import UserError, fail_if
from cai.models.own_template import template_option
from cai.models.sampling import Sampling
from cai.models.templates import Message
from cai.running.launch import Launch
from cai.settings.constitution import (
    Stage,
    for_stage,
    load_constitution,
    load_few_shot,
    parse_few_shot,
    parse_principles,
)
from cai.settings.model_servers import ClientSettings, Serving

ENDING = """\
The model is served either by a server that runs already (--url) or by the command that follows a
bare --, which is started when it is first needed and stopped at the end; FREE_PORT in it becomes a
free port, MODEL the checkpoint, or the folder that it is exported to. What was generated before is
in the journal and is not asked for again."""


NEMO = Serving()


class Shard(NamedTuple):
    """One part of several that records are cut into by their ids, counted from 0."""

    number: int
    of: int


def shard_option(text: str) -> Shard:
    """An argparse ``type``: ``2/8`` is the third of eight shards."""
    index, _, count = text.partition("/")
    fail_if(
        not (index.isdecimal() and count.isdecimal() and int(index) < int(count)),
        f"option --shard: expected i/n with i from 0 to n-1, found {text!r}",
    )
    return Shard(int(index), int(count))


def program(description: str, inputs: str) -> argparse.ArgumentParser:
    """The options of every step: input, output, shard, seed, accepted share of failures."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog=ENDING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--input", type=existing_file, required=True, metavar="FILE", help=inputs)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="records to write; a ledger beside",
    )
    parser.add_argument("--seed", type=int, default=1234, help="seed of every draw (default: 1234)")
    parser.add_argument(
        "--shard", type=shard_option, default=Shard(0, 1), metavar="I/N", help="part I of N, from 0"
    )
    parser.add_argument(
        "--max-bad-share",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="share of records that may fail before the step does (default: 0.5)",
    )
    return parser


def add_model_options(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """The options of a served model."""
    group = parser.add_argument_group("the model")
    group.add_argument(
        "--model", type=existing_file, required=required, metavar="FILE.nemo", help="its checkpoint"
    )
    group.add_argument(
        "--template",
        type=template_option,
        required=required,
        metavar="JSON",
        help="its chat template: user, assistant, stop, add_bos ...; auto: the model's own",
    )
    add_server_options(group, required)
    add_json_option(
        group,
        "--serving",
        Serving,
        'the server: kind "nemo" or "openai", in_flight, prompts, extensions',
    )
    group.add_argument(
        "--exported",
        type=existing_file,
        nargs="*",
        default=[],
        metavar="FOLDER.json",
        help="mark of the Hugging Face folder that a server of kind openai loads",
    )
    add_json_option(group, "--client", ClientSettings, "batch size, timeout, retries ...")
    group.add_argument(
        "--context",
        type=positive,
        metavar="TOKENS",
        help="the model's context; what is longer, with its answer, is dropped before it is sent",
    )
    group.add_argument(
        "--tokenizer",
        type=existing_file,
        metavar="FILE",
        help="sentencepiece model, or .nemo that holds one (default: --model)",
    )


def add_server_options(parser: argparse._ActionsContainer, required: bool = True) -> None:
    """The options of a server, and of the journal of what it answers."""
    parser.add_argument(
        "--journal",
        type=Path,
        nargs="+",
        required=required,
        metavar="FILE",
        help="where each finished answer is kept; others after it, of other runs, are only read",
    )
    parser.add_argument("--url", help="address of a running server, such as http://127.0.0.1:5999")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="the server's output (default: beside the journal)"
    )
    add_json_option(
        parser,
        "--launch",
        Launch,
        "how the server is started: launcher, nodes, gres ... (default: directly)",
    )


def add_sampling_option(
    parser: argparse.ArgumentParser, what: str = "", flag: str = "--sampling"
) -> None:
    """The option that says how answers are sampled."""
    add_json_option(
        parser, flag, Sampling, what or "max_tokens, temperature, top_k, top_p, greedy ..."
    )


def read_principles(texts: Sequence[str], stage: Stage) -> dict[str, dict[str, str]]:
    """The texts of a stage by id, from a constitution's file or from one JSON object each."""
    if len(texts) == 1 and not texts[0].startswith("{"):
        principles = load_constitution(texts[0])
    else:
        principles = parse_principles(_parsed(texts, "--principles"), "option --principles")
    return {chosen["id"]: chosen for chosen in for_stage(principles, stage)}


def add_few_shot_option(parser: argparse._ActionsContainer) -> None:
    """The option of dialogues before what is asked; :func:`read_few_shot` reads it."""
    parser.add_argument(
        "--few-shot",
        nargs="*",
        default=[],
        metavar="DIALOGUE",
        help="dialogues that precede each conversation: a file, or JSON lists of turns",
    )


def read_few_shot(texts: Sequence[str]) -> list[list[Message]]:
    """Few-shot dialogues, from a file or from one JSON list each."""
    if len(texts) == 1 and not texts[0].startswith("["):
        return load_few_shot(texts[0])
    return parse_few_shot(_parsed(texts, "--few-shot"), "option --few-shot")


def _parsed(texts: Sequence[str], option: str) -> list[Any]:
    try:
        return [json.loads(text) for text in texts]
    except json.JSONDecodeError as error:
        raise UserError(f"option {option}: not JSON ({error}), found {error.doc!r}") from None


def parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None
) -> argparse.Namespace:
    """Parse a command line, by default this program's.

    The server's command, if there is one, becomes ``options.server``.
    """
    own, commands = split_commands(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(own)
    fail_if(len(commands) > 1, f"expected one server command after --, found {len(commands)}")
    options.server = commands[0] if commands else None
    return options
