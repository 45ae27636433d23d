"""A served model as steps use it: conversations in, replies out, through the model's template."""

from collections.abc import Sequence

from cai.asking.client import Client, Completion, Failed, Request
from cai.files.records import uniform
from cai.models.sampling import Sampling
from cai.models.templates import Message, Template
from cai.models.tokens import Tokenizer


def derived_seed(*key: object) -> int:
    """A seed in [0, 2**31) that depends on ``key`` alone."""
    return int(uniform("seed", *key) * 2**31)


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
