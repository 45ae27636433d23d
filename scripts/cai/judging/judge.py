"""The options of a judge; comparisons judged, and answers graded, by the kind that they name."""

import argparse
import sys
from collections.abc import Iterator

from cai.asking.chat.chat_client import ChatClient
from cai.asking.program import read_principles
from cai.asking.run import Run
from cai.core.errors import fail_if
from cai.files.lazily import Rows
from cai.files.records import Ledger, Row
from cai.judging.chat_judge import judge_by_chat
from cai.judging.grading import Graded, grade_by_chat, grade_by_probability
from cai.judging.pairs import Preference, judge_randomly
from cai.judging.pairwise import judge_pairs
from cai.judging.rubrics import Rubric
from cai.judging.served_judge import ChatAsker, ServedAsker
from cai.settings.judges import ChatJudge, LogprobJudge, judge_option
from cai.steps.answers import Answered
from cai.steps.candidates import Candidates


def add_judge_option(parser: argparse.ArgumentParser) -> None:
    """The option ``--judge``."""
    parser.add_argument(
        "--judge",
        type=judge_option,
        required=True,
        metavar="JSON",
        help='its kind ("logprob", "chat" or "random") and settings',
    )


def add_judge_options(parser: argparse.ArgumentParser) -> None:
    """The options ``--judge`` and ``--principles``."""
    add_judge_option(parser)
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
            return _of_service(client, run.spooled(judged, options), ledger)
    return run.spooled(judge_randomly(settings, records, options.seed, ledger), options)


def grade(
    rubric: Rubric,
    answers: Rows[Answered],
    options: argparse.Namespace,
    ledger: Ledger,
    run: Run,
) -> Rows[Graded]:
    """Grade answers on the scales of a rubric; a coin has no grades.

    Raises:
        UserError: the judge is a coin.
    """
    settings = options.judge
    if isinstance(settings, LogprobJudge):
        _require(options, "model", "template", "journal")
        with run.model(options, counts=True) as model:
            graded = grade_by_probability(settings, model, rubric, answers, ledger)
            rows = run.spooled(graded, options)
            ledger.notes["usage"] = model.client.usage.as_dict()
            return rows
    fail_if(not isinstance(settings, ChatJudge), "option judge: a coin (random) cannot grade")
    _require(options, "journal")
    with run.service(settings, options) as client:
        graded = grade_by_chat(settings, client, rubric, answers, ledger)
        return _of_service(client, run.spooled(graded, options), ledger)


def _of_service(client: ChatClient, rows: Rows[Row], ledger: Ledger) -> Rows[Row]:
    """Rows that a service gave; the ledger notes what that took, and what can be done about it."""
    ledger.notes["usage"] = client.usage.as_dict()
    if client.sent_as:
        ledger.notes["sent_as"] = client.sent_as
    ledger.remedy = client.remedy
    if len(rows) and client.remedy:
        print(f"judge: some answers cannot be read: {client.remedy}", file=sys.stderr)
    return rows


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
