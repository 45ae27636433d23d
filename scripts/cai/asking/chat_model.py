"""A served model as steps use it: conversations in, replies out, through the model's template."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from cai.asking.client import Client, Completion, Failed, Request
from cai.asking.protocol import Question
from cai.asking.record_chains import Answers, Passes
from cai.files.records import uniform
from cai.models.sampling import Sampling
from cai.models.templates import Message, Template
from cai.models.tokens import Tokenizer


def derived_seed(*key: object) -> int:
    """A seed in [0, 2**31) that depends on ``key`` alone."""
    return int(uniform("seed", *key) * 2**31)


class Turn(NamedTuple):
    """A question of a chain: the model's next turn in a conversation.

    Attributes:
        conversation: so far.
        sampling: of the turn.
        seed: of the turn.
        what: names the pass that the question belongs to, those of all records alike.
    """

    conversation: Sequence[Message]
    sampling: Sampling
    seed: int
    what: str


class Choice(NamedTuple):
    """A question of a chain: how probable it is that the prompt goes on with "(A)", not "(B)"."""

    prompt: str
    what: str


Ask = Turn | Choice


class ChatModel:
    """A served model and its template.

    With a ``context`` (tokens), what would not fit (the prompt and the longest answer) is never
    sent: it comes back as :class:`Failed`.
    """

    def __init__(
        self,
        client: Client,
        template: Template,
        tokenizer: Tokenizer | None = None,
        context: int | None = None,
    ) -> None:
        self.client, self.template = client, template
        self.tokenizer, self.context = tokenizer, context

    def replies(
        self,
        conversations: Sequence[Sequence[Message]],
        sampling: Sampling,
        seed: int,
        what: str | None,
    ) -> list[Completion | Failed]:
        """The model's next turn in each conversation, in their order."""
        requests = [self.request(conversation, sampling, seed) for conversation in conversations]
        refused = [self.refusal(request.prompt, sampling.max_tokens) for request in requests]
        fitting = [r for r, refusal in zip(requests, refused, strict=True) if refusal is None]
        replies = iter(self.client.complete(fitting, what))
        return [refusal or next(replies) for refusal in refused]

    @contextmanager
    def stream(self) -> Iterator[Answers]:
        """What answers :class:`Turn` and :class:`Choice`, see :mod:`cai.asking.record_chains`."""
        if not self.client.flows:
            yield Passes(self._in_passes)
            return
        with self.client.stream(self.question) as stream:
            yield stream

    def _in_passes(self, asks: Sequence[Ask]) -> list[Any]:
        """Ask pass by pass, in the order in which they come first."""
        passes: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, ask in enumerate(asks):
            passes[_pass_of(ask)].append(place)
        answers: dict[int, Any] = {}
        for places in passes.values():
            found = self._pass([asks[place] for place in places])
            answers |= zip(places, found, strict=True)
        return [answers[place] for place in range(len(asks))]

    def _pass(self, asks: Sequence[Any]) -> Sequence[Any]:
        """Ask what differs in its text alone."""
        first = asks[0]
        if isinstance(first, Choice):
            return self.probabilities_of_a([ask.prompt for ask in asks], first.what)
        conversations = [ask.conversation for ask in asks]
        return self.replies(conversations, first.sampling, first.seed, first.what)

    def question(self, ask: Ask) -> Question | Failed:
        """What asks a question of a chain, or why it is not asked."""
        if isinstance(ask, Choice):
            refused = self.refusal(ask.prompt, answer=1)
            return refused or self.client.choice(ask.prompt, add_bos=self.template.add_bos)
        request = self.request(ask.conversation, ask.sampling, ask.seed)
        refused = self.refusal(request.prompt, ask.sampling.max_tokens)
        return refused or self.client.question(request)

    def request(self, conversation: Sequence[Message], sampling: Sampling, seed: int) -> Request:
        """What asks for the model's next turn in a conversation."""
        template = self.template
        return Request(
            prompt=template.prompt(conversation),
            sampling=sampling,
            seed=seed,
            stop=tuple(template.stop),
            add_bos=template.add_bos,
        )

    def probabilities_of_a(self, prompts: Sequence[str], what: str) -> list[float | Failed]:
        """The probability that each prompt goes on with "(A)" and not with "(B)"."""
        refused = [self.refusal(prompt, answer=1) for prompt in prompts]
        fitting = [p for p, refusal in zip(prompts, refused, strict=True) if refusal is None]
        answers = iter(self.client.probability_of_a(fitting, what, add_bos=self.template.add_bos))
        return [refusal or next(answers) for refusal in refused]

    def log_probabilities(
        self, begun: Sequence[tuple[Sequence[Message], str]], what: str
    ) -> list[float | Failed]:
        """The log-probability (nats) of each conversation and the words that the next turn begins.

        It is that of the whole text, so it compares words after the same conversation.
        """
        template = self.template
        texts = [template.begun(messages, words) for messages, words in begun]
        refused = [self.refusal(text, answer=1) for text in texts]
        fitting = [t for t, refusal in zip(texts, refused, strict=True) if refusal is None]
        counts = [self.length(text) for text in fitting]
        answers = iter(
            self.client.log_probabilities(fitting, counts, what, add_bos=template.add_bos)
        )
        return [refusal or next(answers) for refusal in refused]

    def refusal(self, prompt: str, answer: int) -> Failed | None:
        """Why a prompt is not sent, with an answer of so many tokens; None if it is."""
        if self.context is None:
            return None
        if self.length(prompt) + answer <= self.context:
            return None
        return Failed(f"prompt and answer are over the context of {self.context} tokens")

    def length(self, text: str) -> int:
        """How many tokens a text is."""
        if self.tokenizer is None:
            raise TypeError("a model that counts tokens needs a tokenizer")
        return self.tokenizer.count(text, add_bos=self.template.add_bos)


def _pass_of(ask: Ask) -> tuple[str, ...]:
    if isinstance(ask, Choice):
        return (ask.what,)
    return ask.what, str(ask.seed), ask.sampling.model_dump_json()
