"""Who is asked about pairs: a model that NeMo serves, or a chat service."""

from collections.abc import Sequence

from cai.asking.chat.chat_client import CHOICE, ChatAnswer, ChatClient, ChatRequest
from cai.asking.chat_model import ChatModel, Choice, Turn, derived_seed
from cai.asking.client import Completion, Failed
from cai.asking.record_chains import replies
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
        self.answering = model
        self._settings, self._seed = settings, seed

    async def reason(
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
        turns = [Turn(conversation, sampling, seed, what) for conversation in conversations]
        return [_reasoning(answer) for answer in await replies(turns)]

    async def choose(
        self, conversations: Sequence[Conversation], sample: int
    ) -> list[float | Unreadable]:
        """See :class:`cai.judging.pairwise.Asker`; the same conversation has the same answer."""
        prefix = self._settings.answer_prefix
        prompt = self.answering.template.prompt
        what = _what("judge", sample, self._settings.samples)
        answers = await replies([Choice(prompt(asked) + prefix, what) for asked in conversations])
        return [Unreadable(a.reason, None) if isinstance(a, Failed) else a for a in answers]


class ChatAsker:
    """A chat service: its choices are read as probabilities if it gives them, else as votes."""

    def __init__(self, settings: PairwiseChat, client: ChatClient) -> None:
        self.answering, self._settings = client, settings

    async def reason(
        self, conversations: Sequence[Conversation], settings: Reasoning, sample: int
    ) -> list[str | Unreadable]:
        """See :class:`cai.judging.pairwise.Asker`."""
        sampling = settings.model_dump(include={"max_tokens", "temperature", "top_p"})
        return await replies(
            [
                ChatRequest(x, sample, sampling, read=_reasoning, expected=EXPECTED_REASONING)
                for x in conversations
            ]
        )

    async def choose(
        self, conversations: Sequence[Conversation], sample: int
    ) -> list[float | Unreadable]:
        """See :class:`cai.judging.pairwise.Asker`."""
        if self._settings.logprobs:
            form = ChatRequest([], choice=True, read=_probability, expected=EXPECTED)
        else:
            form = ChatRequest([], sample, read=_vote, expected=EXPECTED)
        return await replies([form._replace(messages=asked) for asked in conversations])


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
