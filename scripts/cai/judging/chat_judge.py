"""The tutorial's judge: a chat model names the best and the worst of a prompt's candidates.

It is shown the whole constitution, and the candidates in an order drawn by hash. Its answer is
never guessed: a comparison whose answer cannot be read is dropped, and the answer is kept.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import fmean
from typing import NamedTuple

from cai.asking.chat.chat_client import ChatAnswer, ChatClient, ChatRequest
from cai.asking.record_chains import replies, run
from cai.asking.verdicts.choices import best_and_worst
from cai.asking.verdicts.final_words import Unreadable
from cai.core.errors import fail_if
from cai.files.lazily import Rows
from cai.files.records import Ledger
from cai.judging.pairs import Comparison, Preference, Said, candidate_texts, shuffled
from cai.judging.pairwise import AnswerCounts, numbered
from cai.models.templates import Message
from cai.settings.judges import ChatJudge
from cai.steps.candidates import Candidates

EXPECTED = '{"best": "<letter>", "worst": "<letter>"} with letters of the answers shown'
TOO_FEW = "fewer than two different answers: there is nothing to compare"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

INSTRUCTIONS = """\
You compare answers of an AI assistant and hold them against a constitution.

The constitution:
{constitution}

You are shown one request and several answers to it, each under a letter. Their order means \
nothing. Weigh every answer against the constitution as a whole. Then name the answer that \
follows it best and the answer that follows it worst; if they do not differ, name one letter \
twice. Reason in a few sentences and end with one line of JSON in this form:
{"best": "<letter>", "worst": "<letter>"}"""


class Choice(NamedTuple):
    """The texts that a judge named; equal ones mean that it sees no difference."""

    best: str
    worst: str

    def points(self, text: str) -> int:
        """1 for the best answer, -1 for the worst, 0 for the others and without a difference."""
        return (self.best == text) - (self.worst == text)


def judge_by_chat(
    settings: ChatJudge,
    records: Rows[Candidates],
    principles: dict[str, str],
    seed: int,
    client: ChatClient,
    ledger: Ledger,
) -> Iterator[Preference]:
    """Hard labels: the best against the worst of each prompt's candidates.

    ``principles`` maps ids to preference texts. With two orders, ``p_a`` is the mean of what each
    order says; orders that contradict each other make a tie.
    """
    system = INSTRUCTIONS.replace("{constitution}", numbered(principles.values()))
    counts = AnswerCounts(ledger)

    async def judged(record: Candidates) -> tuple[Candidates, list[str], list[Choice | Unreadable]]:
        orders = _orders(record, settings.orders, seed)
        if len(orders[0]) < 2:
            return record, orders[0], []
        requests = [
            ChatRequest(
                _conversation(system, record["prompt"], order),
                read=partial(read_choice, order=order),
                expected=EXPECTED,
            )
            for order in orders
        ]
        return record, orders[0], await replies(requests)

    for record, shown, answers in run(client, judged, records, "judge"):
        ledger.count_in()
        if len(shown) < 2:
            ledger.drop(TOO_FEW, record=record, bad=False)
            continue
        counts.add(answers)
        choices = [answer for answer in answers if isinstance(answer, Choice)]
        unreadable = [answer for answer in answers if isinstance(answer, Unreadable)]
        if unreadable:
            ledger.drop(unreadable[0].reason, record={**record, "answer": unreadable[0].answer})
        else:
            yield _label(record, shown, choices)


def _orders(record: Candidates, count: int, seed: int) -> list[list[str]]:
    """The order drawn for a record's candidates and, if two are wanted, its reverse."""
    order = shuffled(record, candidate_texts(record), seed)
    most = len(LETTERS)
    fail_if(len(order) > most, f"the chat judge compares up to {most} answers, found {len(order)}")
    return [order, order[::-1]][:count]


def _conversation(system: str, prompt: str, order: Sequence[str]) -> list[Message]:
    answers = "\n\n".join(f"({LETTERS[place]}) {text}" for place, text in enumerate(order))
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": f"The request:\n{prompt}\n\nThe answers:\n\n{answers}"},
    ]


def read_choice(answer: ChatAnswer, order: Sequence[str]) -> Choice | Unreadable:
    """Read the letters of the best and the worst from a judge's answer to an order of candidates.

    See :func:`cai.asking.verdicts.choices.best_and_worst`.
    """
    named = best_and_worst(answer.text, answer.finish, LETTERS[: len(order)])
    if isinstance(named, Unreadable):
        return named
    shown = dict(zip(LETTERS, order, strict=False))
    return Choice(shown[named.best], shown[named.worst])


def _label(record: Candidates, order: Sequence[str], choices: Sequence[Choice]) -> Preference:
    """The candidate with the most points against the one with the fewest; ``a`` stood first."""
    points = {text: sum(choice.points(text) for choice in choices) for text in order}
    chosen = {max(points, key=points.__getitem__), min(points, key=points.__getitem__)}
    if len(chosen) == 1:  # no difference, or the orders contradict each other: any two are a tie
        chosen = set(order[:2])
    a, b = sorted(chosen, key=order.index)
    by_order = [_p_a(choice, a, b) for choice in choices]
    judge: Said = {"kind": "chat", "by_order": by_order}
    return Comparison(record["id"], record["prompt"], a, b).row(None, fmean(by_order), judge)


def _p_a(choice: Choice, a: str, b: str) -> float:
    """1 if a choice puts ``a`` before ``b``, 0 if after, 0.5 if it sees no difference."""
    lead = choice.points(a) - choice.points(b)
    return 0.5 if lead == 0 else float(lead > 0)
