"""Who is asked about pairs: a model that NeMo serves, or a chat service."""

from collections.abc import Sequence

from cai.asking.chat.chat_client import CHOICE, ChatAnswer, ChatClient, ChatRequest
from cai.asking.chat_model import ChatModel, derived_seed
from cai.asking.client import Completion, Failed
from cai.asking.verdicts.choices import vote
from cai.asking.verdicts.final_words import ONLY_REASONING, UNENDED, Unreadable, answer_start
from cai.asking.verdicts.letters import probability
from cai.judging.pairwise import Conversation
from cai.models.sampling import Sampling
from cai.settings.judges import LogprobJudge, PairwiseChat, Reasoning

EXPECTED = "(A) or (B) alone, or a line such as 'Answer: (A)'"
EXPECTED_REASONING = "reasoning that ends by itself, within reasoning.max_tokens"
UNENDED_CHOICE = f"the judge's answer did not end within {CHOICE['max_tokens']} tokens"
UNENDED_REASONING = "the judge's reasoning did not end (reasoning.max_tokens)"


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
        requests = [ChatRequest(x, sample, sampling, read=_reasoning) for x in conversations]
        what = _what("reasoning", sample, self._settings.samples)
        return self._client.ask(requests, what, EXPECTED_REASONING)

    def choose(
        self, conversations: Sequence[Conversation], sample: int
    ) -> list[float | Unreadable]:
        """See :class:`cai.judging.pairwise.Asker`."""
        what = _what("judge", sample, self._settings.samples)
        if self._settings.logprobs:
            requests = [ChatRequest(x, choice=True, read=_probability) for x in conversations]
        else:
            requests = [ChatRequest(x, sample, read=_vote) for x in conversations]
        return self._client.ask(requests, what, EXPECTED)


def _probability(answer: ChatAnswer) -> float | Unreadable:
    found = probability(answer.text, answer.finish, answer.p_a)
    if isinstance(found, Unreadable) and found.reason in (UNENDED, ONLY_REASONING):
        return found._replace(reason=UNENDED_CHOICE)
    return found


def _vote(answer: ChatAnswer) -> float | Unreadable:
    return vote(answer.text, answer.finish)


def _reasoning(reply: Completion | ChatAnswer | Failed) -> str | Unreadable:
    """What the judge said before it chooses, without what it thought before that."""
    if isinstance(reply, Failed):
        return Unreadable(reply.reason, None)
    start = answer_start(reply.text, reply.finish)
    if isinstance(start, Unreadable):
        cut = start.reason in (UNENDED, ONLY_REASONING)
        return start._replace(reason=UNENDED_REASONING) if cut else start
    return reply.text[start:].strip()


def _what(name: str, sample: int, samples: int) -> str:
    """What the progress line says."""
    return name if samples == 1 else f"{name} {sample + 1} of {samples}"
