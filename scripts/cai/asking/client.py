"""Ask a served model: each answer kept in a journal, and never asked for twice.

How a kind of server is asked is in a :class:`cai.asking.protocol.Protocol`; keys, journal and the
reading of answers are the same for all.
"""

import json
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from cai.asking.journal.entries import Journal
from cai.asking.nemo_protocol import NemoProtocol
from cai.asking.protocol import (
    END_OF_TEXT,
    Batch,
    Failed,
    Flowing,
    Protocol,
    Question,
    Reply,
)
from cai.asking.serving import Served
from cai.asking.stream import Stream
from cai.asking.transport import received
from cai.asking.usage import Usage
from cai.asking.verdicts.choices import conclusion
from cai.asking.verdicts.conclusions import TIE
from cai.asking.verdicts.final_words import UNREADABLE_TRIES, Unreadable
from cai.core.digests import canonical_json, digest
from cai.core.errors import UserError, fail_if
from cai.core.progress import Progress
from cai.core.shown import one_line
from cai.core.texts import answer_text
from cai.models.sampling import Sampling
from cai.settings.model_servers import ClientSettings

ANSWERS = ("(A)", "(B)")
NO_PROMPT = "the answer does not begin with the prompt"
NEITHER = "neither (A) nor (B)"
AROUND = "\u2581\u0120 ()"  # a letter in a token; two tokenizers' ways to write a space
ANSWER_TOKENS = 4  # a tokenizer may need "(", "A" and ")" for an answer


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
class Scoring:
    """A text whose own tokens are scored, ``tokens`` of them with BOS; nothing is generated."""

    text: str
    tokens: int
    add_bos: bool


@dataclass(frozen=True)
class Scores:
    """The log-probability (nats) of each token of a text but the first, which has none."""

    logprobs: tuple[float, ...]


_Reader = Callable[[Question, Reply], Any]


class Client:
    """Asks one model, and remembers its answers in a journal.

    A question is known by the digest of all that determines its answer: model, prompt, sampling,
    seed, stop texts. What the journal holds is not asked again, and the server is started only
    when something is left to ask. Batches and their order are not part of it, nor is the kind of
    server and how it computes (precision, parallelism, device): others reuse existing answers.

    Args:
        served: the server.
        journal: where finished answers are kept.
        model_id: the model's identity, a digest of its weights.
        settings: batch size, timeouts, retries.
        protocol: how the server is asked; that of NeMo's by default.
    """

    def __init__(
        self,
        served: Served,
        journal: Journal,
        model_id: str,
        settings: ClientSettings,
        protocol: Protocol | None = None,
    ) -> None:
        self.usage = Usage()
        self._journal = journal
        self._model_id = model_id
        self._settings = settings
        self._protocol = protocol or NemoProtocol(served, settings)

    def complete(self, requests: Sequence[Request], what: str | None) -> list[Completion | Failed]:
        """Continue every prompt; the answers come in the order of the requests.

        Sampling is reproducible: the same requests are sent in the same batches with the same
        seeds, also when a first run was killed. ``what`` names the work in the progress line; None:
        shows none.

        Raises:
            ServerFailed: the server died or fell silent; what was finished is in the journal.
            UserError: the server refuses the sampling parameters.
        """
        questions = [self.question(request) for request in requests]
        answers = self._answers(questions, self._read_completion, what)
        return [a if isinstance(a, Failed) else Completion(**a) for a in answers]

    @property
    def flows(self) -> bool:
        """Whether questions may be asked as they come: each has a seed of its own."""
        return isinstance(self._protocol, Flowing)

    @contextmanager
    def stream(self, question: Callable[[Any], Question | Failed]) -> Iterator[Stream[Question]]:
        """Ask as it comes, a server whose questions flow.

        Args:
            question: what asks for something, or why it is not asked.

        Raises:
            ServerFailed, UserError: as :meth:`complete`; what was answered is in the journal.
        """
        protocol = self._protocol
        assert isinstance(protocol, Flowing)
        choices = _Choices(understood=False)

        def known(question: Question) -> Any:
            self.usage.answered(question.key, None, reused=True)
            choices.understood |= question.chooses
            return self._answer(question)

        def read(question: Question, reply: Reply) -> Any:
            return (choices.read if question.chooses else self._read_completion)(question, reply)

        def taken(finished: Sequence[tuple[Question, Reply | Failed]]) -> list[Any]:
            outcomes = self._kept_outcomes(finished, read)
            return [
                outcome if isinstance(outcome, Failed) else self._answer(question)
                for (question, _), outcome in zip(finished, outcomes, strict=True)
            ]

        source = partial(protocol.pool, self.usage, threading.Event())
        with Stream(question, source, self._journal, known, taken) as stream:
            yield stream

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
        questions = [self.choice(prompt, add_bos=add_bos) for prompt in prompts]
        choices = _Choices(any(question.key in self._journal for question in questions))
        return self._answers(questions, choices.read, what)

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
        scorings = [Scoring(text, n, add_bos) for text, n in zip(texts, counts, strict=True)]
        return self._scored("log-probability", scorings, what, math.fsum)

    def scores(self, scorings: Sequence[Scoring], what: str | None) -> list[Scores | Failed]:
        """The log-probabilities of the tokens of each text, in the order of the texts."""
        found = self._scored("log-probabilities", scorings, what, list)
        return [one if isinstance(one, Failed) else Scores(tuple(one)) for one in found]

    def _scored(
        self,
        kind: str,
        scorings: Sequence[Scoring],
        what: str | None,
        kept: Callable[[Iterable[float]], Any],
    ) -> list[Any]:
        """What is kept of the log-probabilities of each text."""
        fail_if(
            not self._protocol.scores_prompts,
            "the server gives no log-probabilities of what it is given, which harm identification "
            "(evaluations.harm_binary, harm_kinds), grades by the logprob judge "
            "(evaluations.rubric) and multiple-choice tasks (evaluation.harness) need; accepted: "
            "server.kind nemo, or vLLM with server.prompt_logprobs: true",
        )
        questions = [self._scoring(kind, scoring) for scoring in scorings]
        counts = {q.key: scoring.tokens for q, scoring in zip(questions, scorings, strict=True)}

        def read(question: Question, reply: Reply) -> Any:
            count, taken = counts[question.key], len(reply.tokens) + 1
            if taken <= count:
                return Failed(f"the server took {taken} tokens, expected over {count}")
            return kept(received.logprob_of(token.logprob) for token in reply.tokens[: count - 1])

        return self._answers(questions, read, what)

    def _scoring(self, kind: str, scoring: Scoring) -> Question:
        parameters = {
            "tokens_to_generate": 1,  # the server takes no less
            "greedy": True,
            "compute_logprob": True,
            "add_BOS": scoring.add_bos,
            "end_strings": [END_OF_TEXT],
        }
        return self._question(kind, scoring.text, 0, parameters)

    def question(self, request: Request) -> Question:
        """What asks for the continuation of a prompt."""
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

    def choice(self, prompt: str, *, add_bos: bool) -> Question:
        """What asks for the probability of (A), see :meth:`probability_of_a`."""
        parameters = {
            "tokens_to_generate": ANSWER_TOKENS,
            "greedy": True,
            "compute_logprob": True,
            "add_BOS": add_bos,
            "end_strings": self._end_strings(ANSWERS),
        }
        question = self._question("probability of (A)", prompt, 0, parameters)
        return question._replace(chooses=True)

    def _end_strings(self, stop: Sequence[str]) -> list[str]:
        """The stop texts for NeMo: as its own EOS name, or it compares texts, which is slow."""
        return [text for text in stop if text != self._settings.eos] + [END_OF_TEXT]

    def _question(self, kind: str, prompt: str, seed: int, parameters: dict[str, Any]) -> Question:
        """A question; its key does not depend on other questions, nor on the batch it goes in."""
        key = digest([kind, self._model_id, prompt, seed, parameters])
        draw = digest([kind, prompt, seed, parameters])
        return Question(key, prompt, canonical_json(parameters), draw)

    def _answers(self, questions: Sequence[Question], read: _Reader, what: str | None) -> list[Any]:
        """The values in the order of the questions, from the journal or from the server."""
        different = {question.key: question for question in questions}
        batches = self._protocol.plan(list(different.values()), self._journal)
        failed: dict[str, Failed] = {}
        for key in different.keys() - {question.key for batch in batches for question in batch}:
            self.usage.answered(key, None, reused=True)
        with Progress(len(different), what) as progress:
            progress.advance(len(different) - sum(map(len, batches)), reused=True)
            for outcomes in self._ask_all(batches, read):
                self._keep(outcomes, different[next(iter(outcomes))].parameters)
                failed |= {k: v for k, v in outcomes.items() if isinstance(v, Failed)}
                progress.advance(len(outcomes))
        return [failed.get(question.key) or self._kept(question.key) for question in questions]

    def _kept(self, key: str) -> Any:
        value = self._journal.get(key)
        return Failed.kept_as(value) or value

    def _answer(self, question: Question) -> Any:
        """What the journal holds of a question, as it is given to who has asked it."""
        value = self._kept(question.key)
        return value if question.chooses or isinstance(value, Failed) else Completion(**value)

    def _keep(self, outcomes: Mapping[str, Any], parameters: str) -> None:
        """Put the outcomes of questions that have equal parameters into the journal."""
        kept = {k: v.kept if isinstance(v, Failed) else v for k, v in outcomes.items()}
        good = {key: value for key, value in kept.items() if value is not None}
        self._journal.put_all(good, self._model_id[:12], digest(parameters)[:8])

    def _kept_outcomes(
        self, finished: Sequence[tuple[Question, Reply | Failed]], read: _Reader
    ) -> list[Any]:
        """Count, read and keep what was answered; returns what was read."""
        alike: dict[str, dict[str, Any]] = defaultdict(dict)
        for question, reply in finished:
            self.usage.answered(question.key, None if isinstance(reply, Failed) else reply.used)
            alike[question.parameters][question.key] = _outcome(question, reply, read)
        for parameters, outcomes in alike.items():
            self._keep(outcomes, parameters)
        return [alike[question.parameters][question.key] for question, _ in finished]

    def _ask_all(self, batches: Sequence[Batch], read: _Reader) -> Iterator[dict[str, Any]]:
        """Yield the outcomes of each batch by key as they come."""
        if not batches:
            return
        for batch, replies in self._protocol.ask(batches, self.usage, threading.Event()):
            pairs = list(zip(batch, replies, strict=True))
            for question, reply in pairs:
                used = None if isinstance(reply, Failed) else reply.used
                self.usage.answered(question.key, used)
            yield {question.key: _outcome(question, reply, read) for question, reply in pairs}

    def _read_completion(self, question: Question, reply: Reply) -> dict[str, str] | Failed:
        if reply.text is None:
            return Failed(NO_PROMPT)
        text, ended = reply.text, reply.ended
        for end in json.loads(question.parameters)["end_strings"]:
            ended = ended or text.endswith(end)
            text = text.removesuffix(end)
        return asdict(Completion(answer_text(text), "stop" if ended else "length"))


class _Choices:
    """Reads the probability of (A); ends the job where none of the first answers is a choice.

    Attributes:
        understood: whether the model is known to choose.
    """

    def __init__(self, understood: bool) -> None:
        self.understood = understood
        self._unread: list[str] = []

    def read(self, question: Question, reply: Reply) -> float | Failed:
        """See :meth:`Client.probability_of_a`.

        Raises:
            UserError: none of the first answers can be read.
        """
        outcome = _read_choice(reply)
        if isinstance(outcome, Failed) and outcome.reason == NEITHER:
            self._unread.append(reply.text or "")
        self.understood = self.understood or not isinstance(outcome, Failed)
        if not self.understood and len(self._unread) >= UNREADABLE_TRIES:
            raise UserError(
                f"none of the first {len(self._unread)} answers of the judge is (A) or (B), found "
                f"for example {one_line(self._unread[0])!r}; the question and answer_prefix "
                "(preferences.judges.logprob) must lead this model to one of them"
            )
        return outcome


def _read_choice(reply: Reply) -> float | Failed:
    if reply.text is None:
        return Failed(NO_PROMPT)
    ended = reply.ended or reply.text.rstrip().endswith(ANSWERS)
    named = conclusion(reply.text, "stop" if ended else "length")
    if isinstance(named, Unreadable) or named.letter == TIE:
        return Failed(NEITHER)
    # after the answer come only EOS tokens, so the last token with its letter is the answer's
    letters = [token for token in reply.tokens if token.text.strip(AROUND) == named.letter]
    if not letters:
        return Failed("the letter of the answer is not a token")
    probability = received.probability_of(letters[-1].logprob)
    return probability if named.letter == "A" else 1.0 - probability


def _outcome(question: Question, reply: Reply | Failed, read: _Reader) -> Any:
    try:
        return reply if isinstance(reply, Failed) else read(question, reply)
    except received.Unfit as error:
        return Failed(str(error))
