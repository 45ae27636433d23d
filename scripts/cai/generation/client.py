"""Ask a model through NeMo's inference server: in batches, with retries and a journal.

The protocol is the one of ``megatron_gpt_eval.py server=True`` in NeMo 2.1: PUT /generate takes up
to 128 prompts with one sampling setting, one seed and one list of stop texts, and answers with the
prompts and what was generated after them. One request is worked on at a time.
"""

import json
import math
import threading
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, takewhile
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from cai.digests import canonical_json, digest
from cai.errors import UserError
from cai.generation.http import (
    SHOWN,
    Refused,
    TimedOut,
    Transient,
    direct_session,
    exchange,
    in_flight,
    persist,
)
from cai.generation.journal import Journal
from cai.generation.serving import Served
from cai.generation.usage import Usage
from cai.progress import Progress
from cai.sampling import Sampling

END_OF_TEXT = "<|endoftext|>"  # NeMo's name for the tokenizer's EOS, whatever its text is
ANSWERS = ("(A)", "(B)")
ANSWER_TOKENS = 4  # a tokenizer may need "(", "A" and ")" for an answer
SEED_DIGITS = 6  # hex: NeMo sends the seed to the other ranks as float32, exact to 24 bits
PROBE = "Hello"


class ClientSettings(BaseModel):
    """How the server is asked.

    Answers that are in a journal stay valid whatever is changed here, but for ``eos``; another
    batch size draws other samples, since a batch has one seed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(128, ge=1, le=128, description="Prompts a request; NeMo takes 128.")
    timeout: float = Field(600, gt=0, description="Seconds that a batch may take.")
    retries: int = Field(5, ge=1, description="Attempts before a failing batch is split.")
    in_flight: int = Field(2, ge=1, description="Requests sent at a time: one runs, others wait.")
    eos: str = Field("</s>", min_length=1, description="The text of the tokenizer's EOS token.")


@dataclass(frozen=True)
class Request:
    """A text to continue. ``stop`` texts end the continuation; EOS always does."""

    prompt: str
    sampling: Sampling
    seed: int
    stop: tuple[str, ...]
    add_bos: bool


@dataclass(frozen=True)
class Completion:
    """What the model wrote: without the prompt, the stop text and the space around it."""

    text: str
    finish: Literal["stop", "length"]


@dataclass(frozen=True)
class Failed:
    """Why there is no answer for one prompt."""

    reason: str


class _Question(NamedTuple):
    key: str
    prompt: str
    parameters: str  # canonical JSON of what the prompts of one HTTP request must have in common


class _Row(NamedTuple):
    sentence: str
    tokens: list[str]
    logprob: list[float] | None


_Reader = Callable[[_Question, _Row], Any]


class Client:
    """Asks one model, and remembers its answers in a journal.

    A question is known by the digest of all that determines its answer: model, prompt, sampling,
    seed, stop texts. What the journal holds is not asked again, and the server is started only
    when something is left to ask. Batches and their order are not part of it, nor is how the
    server computes (precision, parallelism, device): other ones reuse what is there.

    What is not there is sampled, and a sample depends on its batch: NeMo draws for all prompts of
    a request from one seed. The same questions make the same batches with the same seeds; an answer
    that is generated again in another batch is another draw from the same distribution.

    Args:
        served: the server.
        journal: where finished answers are kept.
        model_id: the model's identity, a digest of its weights.
        settings: batch size, timeouts, retries.
    """

    def __init__(
        self, served: Served, journal: Journal, model_id: str, settings: ClientSettings
    ) -> None:
        self._served = served
        self.usage = Usage()
        self._journal = journal
        self._model_id = model_id
        self._settings = settings
        self._stop = threading.Event()
        self._url = ""  # until the server runs
        self._session = direct_session()

    def complete(self, requests: Sequence[Request], what: str | None) -> list[Completion | Failed]:
        """Continue every prompt; the answers come in the order of the requests.

        Sampling is reproducible: the same requests give the same batches and the same seeds, also
        when a first run was killed. ``what`` names the work in the progress line; None: shows none.

        A batch shares its tokens' budget: a prompt that is n tokens shorter than its batch's
        longest may get n tokens more than ``max_tokens``. Prompts of a like length share a batch.

        Raises:
            ServerFailed: the server died or fell silent; what was finished is in the journal.
            UserError: the server refuses the sampling parameters.
        """
        questions = [self._completion(request) for request in requests]
        answers = self._answers(questions, self._read_completion, what)
        return [a if isinstance(a, Failed) else Completion(**a) for a in answers]

    def probability_of_a(
        self, prompts: Sequence[str], what: str, *, add_bos: bool
    ) -> list[float | Failed]:
        """How probable the model finds the answer (A), where it must choose between (A) and (B).

        Takes the most probable continuation and the probability p of its letter: P(A) is p or 1-p.
        A continuation that is neither (A) nor (B) is a :class:`Failed`. As Bai et al. (2022),
        section 4.1, read the feedback model's choice, except that what little probability lies on
        neither answer counts for the one that was not chosen.

        Args:
            prompts: texts that end where the answer begins.
            what: names the work in the progress line.
            add_bos: whether the model expects a BOS token before the text.
        """
        questions = [self._choice(prompt, add_bos) for prompt in prompts]
        return self._answers(questions, self._read_choice, what)

    def log_probabilities(
        self, texts: Sequence[str], counts: Sequence[int], what: str, *, add_bos: bool
    ) -> list[float | Failed]:
        """The log-probability (nats) of each text, all its tokens but the first, which has none.

        Args:
            texts: what may be said.
            counts: the number of tokens of each; what the server generates after them is dropped.
            what: names the work in the progress line.
            add_bos: whether the model expects a BOS token before the text.
        """
        parameters = {
            "tokens_to_generate": 1,  # the server takes no less
            "greedy": True,
            "compute_logprob": True,
            "add_BOS": add_bos,
            "end_strings": [END_OF_TEXT],
        }
        questions = [self._question("log-probability", text, 0, parameters) for text in texts]
        known = dict(zip(texts, counts, strict=True))

        def read(question: _Question, row: _Row) -> float | Failed:
            count = known[question.prompt]
            if len(row.tokens) <= count:
                return Failed(f"the server took {len(row.tokens)} tokens, expected over {count}")
            return math.fsum(row.logprob[: count - 1])

        return self._answers(questions, read, what)

    def _completion(self, request: Request) -> _Question:
        sampling = request.sampling
        parameters = {
            "tokens_to_generate": sampling.max_tokens,
            "min_tokens_to_generate": sampling.min_tokens,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "repetition_penalty": sampling.repetition_penalty,
            "greedy": sampling.greedy,
            "add_BOS": request.add_bos,
            "end_strings": self._end_strings(request.stop),
        }
        # how an answer ended is read by the EOS text, in the parameters if it is a stop text
        known = self._settings.eos in request.stop
        kind = "completion" if known else f"completion until {self._settings.eos}"
        return self._question(kind, request.prompt, request.seed, parameters)

    def _choice(self, prompt: str, add_bos: bool) -> _Question:
        parameters = {
            "tokens_to_generate": ANSWER_TOKENS,
            "greedy": True,
            "compute_logprob": True,
            "add_BOS": add_bos,
            "end_strings": self._end_strings(ANSWERS),
        }
        return self._question("probability of (A)", prompt, 0, parameters)

    def _end_strings(self, stop: Sequence[str]) -> list[str]:
        """The stop texts for NeMo: as its own EOS name, or it compares texts, which is slow."""
        return [text for text in stop if text != self._settings.eos] + [END_OF_TEXT]

    def _question(self, kind: str, prompt: str, seed: int, parameters: dict) -> _Question:
        """A question; its key does not depend on other questions, nor on the batch it goes in."""
        key = digest([kind, self._model_id, prompt, seed, parameters])
        return _Question(key, prompt, canonical_json(parameters))

    def _answers(
        self, questions: Sequence[_Question], read: _Reader, what: str | None
    ) -> list[Any]:
        """The values in the order of the questions, from the journal or from the server."""
        different = {question.key: question for question in questions}
        batches = _plan(different.values(), self._journal, self._settings.batch_size)
        failed: dict[str, Failed] = {}
        for key in different.keys() - {question.key for batch in batches for question in batch}:
            self.usage.answered(key, None, reused=True)
        with Progress(len(different), what) as progress:
            progress.advance(len(different) - sum(map(len, batches)), reused=True)
            for outcomes in self._ask_all(batches, read):
                good = {k: v for k, v in outcomes.items() if not isinstance(v, Failed)}
                asked = different[next(iter(outcomes))]  # all of a batch have the same parameters
                self._journal.put_all(good, *self._origin(asked))
                failed |= {k: v for k, v in outcomes.items() if isinstance(v, Failed)}
                progress.advance(len(outcomes))
        return [failed.get(q.key) or self._journal.get(q.key) for q in questions]

    def _origin(self, question: _Question) -> tuple[str, str]:
        """What the journal names an answer's model and sampling by."""
        return self._model_id[:12], digest(question.parameters)[:8]

    def _ask_all(
        self, batches: Sequence[list[_Question]], read: _Reader
    ) -> Iterator[dict[str, Any]]:
        """Yield the outcomes of each batch by key as they come."""
        if not batches:
            return
        # asked for in this thread: the server ends with the thread that starts it
        self._url = f"{self._served.url}/generate"
        self._stop = threading.Event()
        for batch, rows in in_flight(self._ask, batches, self._settings.in_flight, self._stop):
            for question, row in zip(batch, rows, strict=True):
                self.usage.answered(question.key, self._tokens(row))
            yield {q.key: _outcome(q, row, read) for q, row in zip(batch, rows, strict=True)}

    def _tokens(self, row: _Row | Failed) -> dict[str, int] | None:
        """The tokens of a prompt and its answer, without the EOS tokens that fill the batch up."""
        if isinstance(row, Failed):
            return None
        ends = {self._settings.eos, END_OF_TEXT}
        filled = sum(1 for _ in takewhile(ends.__contains__, reversed(row.tokens)))
        return {"all": len(row.tokens) - filled}

    def _ask(self, batch: list[_Question]) -> list[_Row | Failed]:
        """The server's rows for a batch; where it fails, the prompts that it fails for are found.

        Raises:
            UserError: it is not the prompts' fault, the server does not even answer a trivial one.
        """
        try:
            return self._generate(batch, self._settings.retries)
        except (Transient, Refused) as error:
            self._probe(batch[0].parameters)
            return self._split(batch, error)

    def _split(self, batch: list[_Question], error: Exception) -> list[_Row | Failed]:
        """Halve a batch that failed until the prompts that break it are alone."""
        if len(batch) == 1:
            return [Failed(f"the server cannot generate: {error}")]
        rows: list[_Row | Failed] = []
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            try:
                rows += self._generate(half, attempts=1)
            except (Transient, Refused) as worse:
                rows += self._split(half, worse)
        return rows

    def _probe(self, parameters: str) -> None:
        """Raise if the server fails for a trivial prompt with these parameters too."""
        try:
            self._generate([_Question("", PROBE, parameters)], attempts=1)
        except Refused as error:
            raise UserError(f"the model server refuses the request: {error}") from None
        except Transient as error:
            raise self._served.failure(f"the model server is broken: {error}") from None

    def _generate(self, batch: list[_Question], attempts: int) -> list[_Row]:
        body = json.loads(batch[0].parameters) | {
            "sentences": [question.prompt for question in batch],
            "random_seed": int(digest([question.key for question in batch])[:SEED_DIGITS], 16),
        }
        return persist(lambda: self._put(body), attempts, self._stop)

    def _put(self, body: dict[str, Any]) -> list[_Row]:
        patience = self._settings.timeout * self._settings.in_flight  # others may be before us
        self.usage.sent()
        try:
            text = exchange(self._session, "PUT", self._url, timeout=patience, json=body)
        except TimedOut as error:  # the server is still at it: asking again would only queue up
            raise self._served.failure(f"the model server gave {error} (client.timeout)") from None
        except Transient:
            self._served.check()
            raise
        return _rows(text, body)

    def _read_completion(self, question: _Question, row: _Row) -> dict[str, str] | Failed:
        cut = _cut(question.prompt, row.sentence)
        if cut is None:
            return Failed("the answer does not begin with the prompt")
        ends = json.loads(question.parameters)["end_strings"]
        ended = bool({self._settings.eos, *ends} & {*row.tokens[-1:]})
        text = row.sentence[cut:]
        for end in ends:
            ended = ended or row.sentence.endswith(end)
            text = text.removesuffix(end)
        return asdict(Completion(text.strip(), "stop" if ended else "length"))

    def _read_choice(self, question: _Question, row: _Row) -> float | Failed:
        cut = _cut(question.prompt, row.sentence)
        if cut is None:
            return Failed("the answer does not begin with the prompt")
        answer = row.sentence[cut:].strip()
        if answer not in ANSWERS:
            return Failed("neither (A) nor (B)")
        # after the answer come only EOS tokens, so the last token with its letter is the answer's
        letters = [token.strip("\u2581 ()") for token in row.tokens]
        places = [place for place, letter in enumerate(letters) if letter == answer[1]]
        if not places:
            return Failed("the letter of the answer is not a token")
        probability = math.exp(row.logprob[places[-1] - 1])  # a text's first token has none
        return probability if answer == "(A)" else 1.0 - probability


def _plan(questions: Iterable[_Question], journal: Journal, size: int) -> list[list[_Question]]:
    """The batches that are left to ask.

    All questions are packed as if none was answered, so that a run that was killed goes on with
    the batches, and hence the seeds, of the first run. What is left of batches that are known in
    part (a principle was edited, prompts were added) is packed together.
    """
    whole: list[list[_Question]] = []
    rest: list[_Question] = []
    for batch in _pack(questions, size):
        missing = [question for question in batch if question.key not in journal]
        if len(missing) == len(batch):
            whole.append(batch)
        else:
            rest += missing
    return whole + list(_pack(rest, size))


def _pack(questions: Iterable[_Question], size: int) -> Iterator[list[_Question]]:
    """Batches of equal parameters; the longest prompts first, so that memory runs out early."""
    ordered = sorted(questions, key=lambda q: (q.parameters, -len(q.prompt), q.key))
    for _, group in groupby(ordered, key=lambda q: q.parameters):
        alike = list(group)
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def _outcome(question: _Question, row: _Row | Failed, read: _Reader) -> Any:
    return row if isinstance(row, Failed) else read(question, row)


def _rows(text: str, body: dict[str, Any]) -> list[_Row]:
    """Check and take apart the server's answer to a request.

    Raises:
        Refused: it is a text that says which parameter is wrong (with HTTP status 200).
        Transient: it is anything else.
    """
    try:
        answer = json.loads(text)
        if isinstance(answer, str):
            raise Refused(answer[:SHOWN])
        count = len(body["sentences"])
        logprob = answer["logprob"] if body.get("compute_logprob") else [None] * count
        columns = (answer["sentences"], answer["tokens"], logprob)
        rows = [_Row(*values) for values in zip(*columns, strict=True)]
    except (ValueError, KeyError, TypeError):
        raise Transient(f"unexpected answer {text[:SHOWN]!r}") from None
    if len(rows) != count:
        raise Transient(f"{len(rows)} answers for {count} prompts")
    return rows


def _cut(prompt: str, sentence: str) -> int | None:
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
