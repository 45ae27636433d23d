"""What the programs that ask a model have in common: their options, and how they end."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cai.cli import existing_file, json_option, positive, split_commands
from cai.constitution import (
    Stage,
    for_stage,
    load_constitution,
    load_few_shot,
    parse_few_shot,
    parse_principles,
)
from cai.errors import UserError, fail_if
from cai.generation.chat_model import ChatModel
from cai.generation.client import Client, ClientSettings
from cai.generation.journal import Journal
from cai.generation.serving import Served
from cai.launch import Launch, Launcher
from cai.manifest import identity
from cai.records import Ledger, Record, in_shard, ledger_path, read_jsonl, write_jsonl
from cai.sampling import Sampling
from cai.templates import Message, Template
from cai.tokens import Tokenizer

ENDING = """\
The model is served either by a server that runs already (--url) or by the command that follows a
bare --, which is started when it is first needed and stopped at the end; FREE_PORT in it becomes a
free port. What was generated before is in the journal and is not asked for again."""


class Shard(NamedTuple):
    """One part of several that records are cut into by their ids, counted from 0."""

    index: int
    count: int


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
        type=json_option(Template),
        required=required,
        metavar="JSON",
        help="its chat template: user, assistant, stop, add_bos ...",
    )
    add_server_options(group, required)
    group.add_argument(
        "--client",
        type=json_option(ClientSettings),
        default=ClientSettings(),
        metavar="JSON",
        help="batch size, timeout, retries ...",
    )
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
        required=required,
        metavar="FILE",
        help="where each finished answer is kept",
    )
    parser.add_argument("--url", help="address of a running server, such as http://127.0.0.1:5999")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="the server's output (default: beside the journal)"
    )
    parser.add_argument(
        "--launch",
        type=json_option(Launch),
        default=Launch(),
        metavar="JSON",
        help="how the server is started: launcher, nodes, gres ... (default: directly)",
    )


def add_sampling_option(
    parser: argparse.ArgumentParser, what: str = "", flag: str = "--sampling"
) -> None:
    """The option that says how answers are sampled."""
    parser.add_argument(
        flag,
        type=json_option(Sampling),
        default=Sampling(),
        metavar="JSON",
        help=what or "max_tokens, temperature, top_k, top_p, greedy ...",
    )


def read_principles(texts: Sequence[str], stage: Stage) -> dict[str, dict[str, str]]:
    """The texts of a stage by id, from a constitution's file or from one JSON object each."""
    if len(texts) == 1 and not texts[0].startswith("{"):
        principles = load_constitution(texts[0])
    else:
        principles = parse_principles(_parsed(texts, "--principles"), "option --principles")
    return {chosen["id"]: chosen for chosen in for_stage(principles, stage)}


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


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line; the server's command, if given, becomes ``options.server``."""
    own, commands = split_commands(sys.argv[1:])
    options = parser.parse_args(own)
    fail_if(len(commands) > 1, f"expected one server command after --, found {len(commands)}")
    options.server = commands[0] if commands else None
    return options


@contextmanager
def opened_server(options: argparse.Namespace) -> Iterator[tuple[Served, Journal]]:
    """The server that the options name, stopped at the end if it was started, and its journal."""
    fail_if(
        (options.server is None) == (options.url is None),
        "expected either --url or a server's command after a bare --, found "
        + ("neither" if options.url is None else "both"),
    )
    log = options.log or options.journal.with_suffix(".server.log")
    launcher = Launcher(options.launch)
    served = Served(options.server, options.url, log, launcher=launcher)
    with Journal(options.journal) as journal, served:
        yield served, journal


@contextmanager
def opened_model(options: argparse.Namespace, counts: bool = False) -> Iterator[ChatModel]:
    """The model that the options name, behind :func:`opened_server`.

    With ``counts`` it counts tokens, whether or not there is a context to keep within.
    """
    needed = counts or options.context is not None
    tokenizer = Tokenizer(options.tokenizer or options.model) if needed else None
    with opened_server(options) as (served, journal):
        client = Client(served, journal, identity(options.model), options.client)
        yield ChatModel(client, options.template, tokenizer, options.context)


def records_of_shard(options: argparse.Namespace) -> list[Record]:
    """The input's records that belong to this shard."""
    return [row for row in read_jsonl(options.input) if in_shard(row["id"], *options.shard)]


def conclude(rows: Iterable[Record], ledger: Ledger, options: argparse.Namespace) -> None:
    """Write the output and, beside it, the ledger.

    Raises:
        UserError: if more than the accepted share failed; the ledger is written all the same.
    """
    rows = list(ledger.kept(rows))
    ledger.write(options.output)
    _check_failures(ledger, options)
    write_jsonl(options.output, rows)


def _check_failures(ledger: Ledger, options: argparse.Namespace) -> None:
    bad = sum(ledger.dropped.values())
    if bad <= options.max_bad_share * ledger.seen:
        return
    reason, count = ledger.dropped.most_common(1)[0]
    record = next(row["record"] for row in ledger.rejected if row["reason"] == reason)
    answer = record.get("answer")
    example = f", for example {answer[:200]!r}" if answer else f", first at id {record['id']}"
    raise UserError(
        f"{options.input}: {bad} of {ledger.seen} records failed, most of them ({count}) with: "
        f"{reason}{example}; accepted is a share of {options.max_bad_share:g} (--max-bad-share); "
        f"all of them are in {ledger_path(options.output)}"
    )
