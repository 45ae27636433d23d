"""The options of a judge, and the judging of records by the kind of judge that they name."""

import argparse
import sys
from collections.abc import Iterator

from cai.asking.chat.chat_client import ChatClient
from cai.asking.program import read_principles
from cai.asking.run import Run
from cai.core.errors import fail_if
from cai.files.lazily import Rows
from cai.files.records import Ledger
from cai.judging.chat_judge import judge_by_chat
from cai.judging.pairs import Preference, judge_randomly
from cai.judging.pairwise import judge_pairs
from cai.judging.served_judge import ChatAsker, ServedAsker
from cai.settings.judges import ChatJudge, LogprobJudge, judge_option
from cai.steps.candidates import Candidates


def add_judge_options(parser: argparse.ArgumentParser) -> None:
    """The options ``--judge`` and ``--principles``."""
    parser.add_argument(
        "--judge",
        type=judge_option,
        required=True,
        metavar="JSON",
        help='its kind ("logprob", "chat" or "random") and settings',
    )
    parser.add_argument(
        "--principles",
        nargs="+",
        required=True,
        metavar="PRINCIPLE",
        help="a constitution's file, or JSON objects {id, preference}",
    )


def judge(
    records: Rows[Candidates], options: argparse.Namespace, ledger: Ledger, run: Run
) -> Rows[Preference]:
    """Judge records of at least two candidates; returns the judged comparisons.

    A served model is needed by the ``logprob`` judge alone; the ``chat`` judge needs a journal.
    The ledger's notes ``answers`` and ``usage`` count what was asked, and what that took.
    """
    texts = read_principles(options.principles, "preference")
    principles = {name: text["preference"] for name, text in texts.items()}
    settings = options.judge
    if isinstance(settings, LogprobJudge):
        _require(options, "model", "template", "journal")
        with run.model(options) as model:
            asker = ServedAsker(settings, model, options.seed)
            orders = (False, True) if settings.both_orders else (False,)
            rows = run.spooled(
                judge_pairs(
                    "logprob", settings, orders, records, principles, options.seed, asker, ledger
                ),
                options,
            )
            ledger.notes["usage"] = model.client.usage.as_dict()
            return rows
    if isinstance(settings, ChatJudge):
        _require(options, "journal")
        with run.service(settings, options) as client:
            judged = _by_chat(settings, records, principles, options.seed, client, ledger)
            rows = run.spooled(judged, options)
            ledger.notes["usage"] = client.usage.as_dict()
            if client.sent_as:
                ledger.notes["sent_as"] = client.sent_as
            ledger.remedy = client.remedy
            if len(rows) and client.remedy:
                print(f"judge: some answers cannot be read: {client.remedy}", file=sys.stderr)
            return rows
    return run.spooled(judge_randomly(settings, records, options.seed, ledger), options)


def _by_chat(
    settings: ChatJudge,
    records: Rows[Candidates],
    principles: dict[str, str],
    seed: int,
    client: ChatClient,
    ledger: Ledger,
) -> Iterator[Preference]:
    if settings.pairwise is None:
        return judge_by_chat(settings, records, principles, seed, client, ledger)
    asker = ChatAsker(settings.pairwise, client)
    orders = (False, True)[: settings.orders]
    return judge_pairs("chat", settings.pairwise, orders, records, principles, seed, asker, ledger)


def _require(options: argparse.Namespace, *names: str) -> None:
    missing = [name for name in names if getattr(options, name) is None]
    fail_if(missing, f"the judge {options.judge.kind!r} needs --{', --'.join(missing)}")
