"""Who is asked about pairs: a model that NeMo serves, or a chat service."""

from collections.abc import Callable, Sequence

from cai.generation.chat_api import ChatAnswer, ChatClient, ChatRequest
from cai.generation.chat_model import ChatModel, derived_seed
from cai.generation.choices import vote
from cai.generation.client import Completion, Failed
from cai.judging.pairs import UNREADABLE, Unreadable
from cai.judging.pairwise import Conversation
from cai.judging.settings import LogprobJudge, PairwiseChat, Reasoning
from cai.sampling import Sampling

NO_REASONING = "the judge gave no reasoning"
UNENDED = "the judge's reasoning did not end (reasoning.max_tokens)"


class ServedAsker:
    """A served model: its choices are read as probabilities."""

    def __init__(self, settings: LogprobJudge, model: ChatModel, seed: int) -> None:
        self._settings, self._model, self._seed = settings, model, seed

    def reason(
        self, conversations: Sequence[Conversation], settings: Reasoning, sample: int
    ) -> list[str | Unreadable]:
        """See :class:`cai.judging.pairwise.Asker`."""
        sampling = Sampling(
            max_tokens=settings.max_tokens,
            temperature=settings.temperature or 1.0,
            top_p=settings.top_p,
            greedy=settings.temperature == 0,
        )
        seed = derived_seed(self._seed, "reasoning", sample)
        what = _what("reasoning", sample, self._settings.samples)
        return [_reasoning(x) for x in self._model.replies(conversations, sampling, seed, what)]

    def choose(
        self, conversations: Sequence[Conversation], sample: int
    ) -> list[float | Unreadable]:
        """See :class:`cai.judging.pairwise.Asker`; the same conversation has the same answer."""
        prefix = self._settings.answer_prefix
        prompts = [self._model.template.prompt(asked) + prefix for asked in conversations]
        what = _what("judge", sample, self._settings.samples)
        answers = self._model.probabilities_of_a(prompts, what)
        return [Unreadable(a.reason, None) if isinstance(a, Failed) else a for a in answers]


class ChatAsker:
    """A chat service: its choices are read as probabilities if it gives them, else as votes."""

    def __init__(self, settings: PairwiseChat, client: ChatClient) -> None:
        self._settings, self._client = settings, client

    def reason(
        self, conversations: Sequence[Conversation], settings: Reasoning, sample: int
    ) -> list[str | Unreadable]:
        """See :class:`cai.judging.pairwise.Asker`."""
        sampling = settings.model_dump(include={"max_tokens", "temperature", "top_p"})
        requests = [ChatRequest(asked, sample, sampling) for asked in conversations]
        what = _what("reasoning", sample, self._settings.samples)
        return [_reasoning(x) for x in self._client.ask(requests, what)]

    def choose(
        self, conversations: Sequence[Conversation], sample: int
    ) -> list[float | Unreadable]:
        """See :class:`cai.judging.pairwise.Asker`."""
        what = _what("judge", sample, self._settings.samples)
        if self._settings.logprobs:
            requests = [ChatRequest(asked, choice=True) for asked in conversations]
            return [_read(x, _probability) for x in self._client.ask(requests, what)]
        requests = [ChatRequest(asked, sample) for asked in conversations]
        return [_read(x, _vote) for x in self._client.ask(requests, what)]


def _reasoning(reply: Completion | ChatAnswer | Failed) -> str | Unreadable:
    if isinstance(reply, Failed):
        return Unreadable(reply.reason, None)
    if reply.finish == "length":
        return Unreadable(UNENDED, reply.text)
    return reply.text.strip() or Unreadable(NO_REASONING, None)


def _vote(answer: ChatAnswer) -> float | None:
    return vote(answer.text)


def _probability(answer: ChatAnswer) -> float | None:
    return answer.p_a


def _read(
    answer: ChatAnswer | Failed, read: Callable[[ChatAnswer], float | None]
) -> float | Unreadable:
    if isinstance(answer, Failed):
        return Unreadable(answer.reason, None)
    p_a = read(answer)
    return Unreadable(UNREADABLE, answer.text) if p_a is None else p_a


def _what(name: str, sample: int, samples: int) -> str:
    """What the progress line says."""
    return name if samples == 1 else f"{name} {sample + 1} of {samples}"
