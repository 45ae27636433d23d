"""The protocol of NeMo's inference server: batches of prompts, one batch at a time.

It is the one of ``megatron_gpt_eval.py server=True`` in NeMo 2.1: PUT /generate takes up to 128
prompts with one sampling setting, one seed and one list of stop texts, and answers with the prompts
and what was generated after them. One request is worked on at a time.
"""

import json
import threading
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, takewhile
from typing import Any, NamedTuple

from cai.asking.journal.entries import Journal
from cai.asking.protocol import END_OF_TEXT, Batch, Failed, Question, Replies, Reply, Token
from cai.asking.serving import Served
from cai.asking.transport import received
from cai.asking.transport.http import (
    ANSWER_BYTES,
    Flow,
    Garbled,
    Refused,
    TimedOut,
    Transient,
    address_of,
    direct_session,
    exchange,
    persist,
)
from cai.asking.transport.pool import in_flight
from cai.asking.transport.proof import HELLO, Proof
from cai.asking.usage import Usage
from cai.core.digests import digest
from cai.core.errors import UserError
from cai.core.shown import one_line
from cai.models.tokens import Tokenizer
from cai.settings.model_servers import ClientSettings

TOKEN_BYTES = 60  # of an answer for each token of it: its text, log-probability, place
SEED_DIGITS = 6  # hex: NeMo sends the seed to the other ranks as float32, exact to 24 bits


class _Row(NamedTuple):
    sentence: str
    tokens: list[str]
    logprob: list[Any]  # read by whoever needs one, see checks.logprob_of
    ids: Any  # read where the sentence lacks something, see _by_tokens


class NemoProtocol:
    """Asks NeMo's server.

    A sample depends on its batch: NeMo draws for all prompts of a request from one seed. The same
    questions make the same batches with the same seeds; an answer that is generated again in
    another batch is another draw from the same distribution.

    A batch shares its tokens' budget: a prompt that is n tokens shorter than its batch's longest
    may get n tokens more than ``max_tokens``. Prompts of a like length share a batch.

    Of a model with a Hugging Face tokenizer the server's sentences lack all special tokens, those
    of the prompt, too: then its tokens are read, and the client must have the tokenizer.
    """

    scores_prompts = True

    def __init__(
        self, served: Served, settings: ClientSettings, tokenizer: Tokenizer | None = None
    ) -> None:
        self._served, self._settings = served, settings
        is_huggingface = tokenizer is not None and tokenizer.is_huggingface
        self._tokenizer = tokenizer if is_huggingface else None
        self._flow = Flow(settings.in_flight, proven=False)
        self._session = direct_session(settings.in_flight)
        self._proof = Proof(
            self._flow,
            self._probe,
            lambda error: UserError(f"the model server refuses the request: {error}"),
            served.broken,
        )
        self._url = ""  # until the server runs
        self._usage = Usage()
        self._stop = threading.Event()

    def plan(self, questions: Sequence[Question], journal: Journal) -> list[list[Question]]:
        """See :class:`cai.asking.protocol.Protocol`."""
        return plan(questions, journal, self._settings.batch_size)

    def ask(
        self, batches: Sequence[Batch], usage: Usage, stop: threading.Event
    ) -> Iterator[tuple[Batch, Replies]]:
        """See :class:`cai.asking.protocol.Protocol`."""
        # asked for in this thread: the server ends with the thread that starts it
        self._url = f"{self._served.url}/generate"
        self._usage, self._stop = usage, stop
        yield from in_flight(self._ask, batches, self._settings.in_flight, stop)

    def _ask(self, batch: Batch) -> Replies:
        """The replies to a batch; where it fails, the prompts that it fails for are found.

        Raises:
            UserError: it is not the prompts' fault, the server does not even answer a trivial one.
        """
        replies = self._insist(batch)
        return self._split(batch, replies) if isinstance(replies, Exception) else replies

    def _split(self, batch: Batch, failure: Refused | Transient) -> Replies:
        """Halve a batch that failed until the prompts that break it are alone.

        Halves are asked once: if that was the moment's fault, they are halved in vain. A prompt
        that is alone is asked as often as any, so no moment drops one. All in all there are at most
        ``retries`` + 3 requests a prompt, unless the server is overloaded.
        """
        if len(batch) == 1:
            return [_failed(failure)]
        replies: Replies = []
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            found = self._insist(half) if len(half) == 1 else self._once(half)
            replies += self._split(half, found) if isinstance(found, Exception) else found
        return replies

    def _insist(self, batch: Batch) -> Replies | Refused | Transient:
        send = partial(self._generate, batch, self._settings.retries)
        return self._proof.answer(batch[0].parameters, send, self._stop)

    def _once(self, batch: Batch) -> Replies | Refused | Transient:
        try:
            return self._generate(batch, attempts=1)
        except (Refused, Transient) as failure:
            return failure

    def _probe(self, parameters: str) -> None:
        self._generate([Question("", HELLO, parameters, "")], self._settings.retries)

    def _generate(self, batch: Batch, attempts: int) -> Replies:
        body = json.loads(batch[0].parameters) | {
            "sentences": [question.prompt for question in batch],
            "random_seed": int(digest([question.draw for question in batch])[:SEED_DIGITS], 16),
        }
        rows = persist(lambda: self._put(body), attempts, self._stop, self._flow)
        pairs = zip(batch, rows, strict=True)
        if self._tokenizer is not None:
            return [_by_tokens(question, row, body, self._tokenizer) for question, row in pairs]
        eos, stops = {self._settings.eos, END_OF_TEXT}, body["end_strings"]
        return [_reply(question, row, eos, stops) for question, row in pairs]

    def _put(self, body: dict[str, Any]) -> list[_Row | Failed]:
        patience = self._settings.timeout * self._settings.in_flight  # others may be before us
        self._usage.sent()
        try:
            text = exchange(
                self._session, "PUT", self._url, timeout=patience, most=_most(body), json=body
            )
        except TimedOut as error:  # the server is still at it: asking again would only queue up
            raise self._served.failure(f"the model server gave {error} (client.timeout)") from None
        except Transient:
            self._served.check()
            raise
        self._served.check()  # an answer is its server's only while that lives
        return _rows(text, body, address_of(self._url))


def plan(questions: Iterable[Question], journal: Journal, size: int) -> list[list[Question]]:
    """The batches that are left to ask.

    All questions are packed as if none was answered, so that a run that was killed goes on with
    the batches, and hence the seeds, of the first run. What is left of batches that are known in
    part (a principle was edited, prompts were added) is packed together.
    """
    whole: list[list[Question]] = []
    rest: list[Question] = []
    for batch in _pack(questions, size):
        missing = [question for question in batch if question.key not in journal]
        if len(missing) == len(batch):
            whole.append(batch)
        else:
            rest += missing
    return whole + list(_pack(rest, size))


def _pack(questions: Iterable[Question], size: int) -> Iterator[list[Question]]:
    """Batches of equal parameters; the longest prompts first, so that memory runs out early."""
    ordered = sorted(questions, key=lambda q: (q.parameters, -len(q.prompt), q.draw))
    for _, group in groupby(ordered, key=lambda q: q.parameters):
        alike = list(group)
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def _most(body: dict[str, Any]) -> int:
    """Bytes that an answer may have: it repeats the prompts, token by token."""
    prompts = sum(map(len, body["sentences"]))
    return ANSWER_BYTES + TOKEN_BYTES * (prompts + len(body["sentences"]) * _longest(body))


def _longest(body: dict[str, Any]) -> int:
    """Tokens of a sentence at most: a batch is filled up to its longest."""
    longest: int = body["tokens_to_generate"]
    return max(map(len, body["sentences"])) + longest


def _failed(failure: Refused | Transient) -> Failed:
    if isinstance(failure, Refused):
        return Failed.refused(failure.fault)
    return Failed(f"the server cannot generate: {failure}")


def _rows(text: str, body: dict[str, Any], address: str) -> list[_Row | Failed]:
    """Check and take apart the server's answer to a request; a row that is wrong fails alone.

    Raises:
        Refused: it is a text that says which parameter is wrong (with HTTP status 200).
        Transient: it is anything else.
    """
    answer = received.decoded(text, address)
    if isinstance(answer, str):
        raise Refused(one_line(answer))
    count = len(body["sentences"])
    names = ["sentences", "tokens"] + ["logprob"] * bool(body.get("compute_logprob"))
    try:
        columns = [answer[name] for name in names]
    except (LookupError, TypeError):
        raise received.garbled(text) from None
    if not all(isinstance(column, list) for column in columns):
        raise received.garbled(text)
    if any(len(column) != count for column in columns):
        raise Garbled(f"{len(columns[0])} answers for {count} prompts")
    numbers = answer.get("token_ids")
    ids = numbers if isinstance(numbers, list) and len(numbers) == count else [None] * count
    return [_row(*values) for values in zip(ids, *columns, strict=True)]


def _row(ids: Any, sentence: Any, tokens: Any, logprob: Any = ()) -> _Row | Failed:
    try:
        row = _Row(received.text_of(sentence), received.texts_of(tokens), logprob, ids)
    except received.Unfit as error:
        return Failed(str(error))
    if logprob == () or (isinstance(logprob, list) and len(logprob) >= len(row.tokens) - 1):
        return row  # the first token has none
    return Failed(f"not one log-probability for each of {len(row.tokens)} tokens")


def _reply(
    question: Question, row: _Row | Failed, eos: set[str], stops: list[str]
) -> Reply | Failed:
    if isinstance(row, Failed):
        return row
    cut = cut_of(question.prompt, row.sentence)
    text = None if cut is None else row.sentence[cut:]
    ended = bool(eos.union(stops) & {*row.tokens[-1:]})
    filled = sum(1 for _ in takewhile(eos.__contains__, reversed(row.tokens)))  # the batch, up
    tokens = [Token(*pair) for pair in zip(row.tokens[1:], row.logprob, strict=False)]
    return Reply(text, ended, {"all": len(row.tokens) - filled}, tokens)


def _by_tokens(
    question: Question, row: _Row | Failed, body: dict[str, Any], tokenizer: Tokenizer
) -> Reply | Failed:
    """What was generated, from the tokens: those after the prompt's, without the EOS at the end."""
    if isinstance(row, Failed):
        return row
    prompt = tokenizer.encode(question.prompt, add_bos=body["add_BOS"])
    ids = row.ids
    if not isinstance(ids, list) or len(ids) != len(row.tokens) or ids[: len(prompt)] != prompt:
        return Reply(None, False)
    if not all(type(number) is int and 0 <= number < tokenizer.size for number in ids):
        return Failed("a token that the tokenizer does not have")
    generated = ids[len(prompt) :]
    while generated and generated[-1] == tokenizer.eos_id:  # the batch is filled up with it
        generated.pop()
    text = tokenizer.decode(generated)
    used = len(prompt) + len(generated)
    ended = used < len(ids) or text.endswith(tuple(body["end_strings"]))
    tokens = [Token(*pair) for pair in zip(row.tokens[1:], row.logprob, strict=False)]
    return Reply(text, ended, {"all": used}, tokens)


def cut_of(prompt: str, sentence: str) -> int | None:
    """Where the prompt ends in a sentence that repeats it, None if it does not.

    A tokenizer may bring the prompt back in another Unicode form or with other white space.
    """
    if sentence.startswith(prompt):
        return len(prompt)
    wanted = _squash(prompt)
    lengths = range(len(sentence) + 1)
    end = bisect_left(lengths, len(wanted), key=lambda n: len(_squash(sentence[:n])))
    return end if _squash(sentence[:end]) == wanted else None


def _squash(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())
