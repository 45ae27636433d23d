"""The protocol of OpenAI-compatible servers: POST /v1/completions, many requests in flight.

vLLM, TensorRT-LLM (trtllm-serve) and NIM speak it, and ``transformers serve``. The prompt is what
our template rendered, in the tokens that NeMo would make of it, so that neither the server's chat
template nor its tokenizer nor its rule for BOS has a say. A server that takes only text gets the
text; if it then counts other tokens than we do, that prompt fails instead of being another one.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from cai.asking.journal.entries import Journal
from cai.asking.protocol import END_OF_TEXT, Batch, Failed, Question, Replies, Reply, Token
from cai.asking.serving import MODELS, Served, listed_models
from cai.asking.transport import received
from cai.asking.transport.http import (
    Flow,
    Refused,
    Transient,
    address_of,
    direct_session,
    exchange,
    persist,
)
from cai.asking.transport.pool import Pool, in_flight_together
from cai.asking.transport.proof import HELLO, Proof
from cai.asking.usage import Usage
from cai.core.digests import digest
from cai.core.errors import UserError, fail_if
from cai.core.shown import one_line
from cai.models.tokens import Tokenizer
from cai.settings.model_servers import ClientSettings, Serving

SEED_DIGITS = 7  # hex: 28 bits, within what all servers take


class OpenAiProtocol:
    """Asks an OpenAI-compatible server; each request has a seed of its own, from what is asked.

    Args:
        served: the server.
        client: timeout, retries, the text of EOS.
        serving: how prompts are sent, how many at a time, what the server understands.
        tokenizer: the model's.
    """

    def __init__(
        self, served: Served, client: ClientSettings, serving: Serving, tokenizer: Tokenizer
    ) -> None:
        self.scores_prompts = serving.prompt_logprobs
        self._served, self._client, self._serving = served, client, serving
        self._tokenizer = tokenizer
        self._flow = Flow(serving.in_flight, proven=False)
        self._session = direct_session(serving.in_flight)
        self._model = ""  # until the server runs
        self._usage = Usage()
        self._stop = threading.Event()
        self._proof = Proof(
            self._flow,
            self._probe,
            lambda error: UserError(f"the model server refuses the request: {error}"),
            served.broken,
        )

    def plan(self, questions: Sequence[Question], journal: Journal) -> list[list[Question]]:
        """One question a request; the longest first, so that none of them is the last to end."""
        missing = [question for question in questions if question.key not in journal]
        return [[question] for question in sorted(missing, key=lambda q: (-len(q.prompt), q.draw))]

    def ask(
        self, batches: Sequence[Batch], usage: Usage, stop: threading.Event
    ) -> Iterator[tuple[Batch, Replies]]:
        """See :class:`cai.asking.protocol.Protocol`."""
        self._begin(usage, stop)
        # until the server has answered once it is asked one by one: first what is answered soonest
        ordered = [*batches[-1:], *batches[:-1]]
        for finished in in_flight_together(self._ask, ordered, self._serving.in_flight, stop):
            pairs = [(batch[0], replies[0]) for batch, replies in finished]
            for _, alike in groupby(sorted(pairs, key=_parameters), key=_parameters):
                questions, replies = zip(*alike, strict=True)
                yield questions, list(replies)

    def pool(self, usage: Usage, stop: threading.Event) -> Pool[Question, Reply | Failed]:
        """See :class:`cai.asking.protocol.Flowing`."""
        self._begin(usage, stop)
        return Pool(lambda question: self._ask([question])[0], self._serving.in_flight, stop)

    def _begin(self, usage: Usage, stop: threading.Event) -> None:
        # asked for in this thread: the server ends with the thread that starts it
        assert self._served.url
        self._usage, self._stop = usage, stop
        self._model = self._model or self._name()

    def _name(self) -> str:
        """What the server calls its model: the one that is configured, or the first that it lists.

        A server that serves several is asked by a name, or the answers of one would be kept as
        another's.
        """
        try:
            listed = listed_models(self._served.url)
        except (Transient, Refused) as error:
            self._served.check()
            raise self._served.failure(f"{MODELS} names no model: {error}") from None
        wanted = self._serving.model or listed[0]
        if wanted not in listed:
            names = one_line(", ".join(listed))
            raise self._served.failure(f"{MODELS}: no model {wanted!r} (server.model) in: {names}")
        return wanted

    def _ask(self, batch: Batch) -> Replies:
        [question] = batch
        try:
            reply = self._proof.answer(
                question.parameters,
                lambda: self._send(question, self._client.retries),
                self._stop,
            )
        except received.Unfit as error:
            return [Failed(str(error))]
        if isinstance(reply, Refused):
            return [Failed.refused(reply.fault)]
        if isinstance(reply, Transient):
            return [Failed(f"the server cannot generate: {reply}")]
        return [reply]

    def _probe(self, parameters: str) -> None:
        self._send(Question("", HELLO, parameters, ""), self._client.retries)

    def _send(self, question: Question, attempts: int) -> Reply | Failed:
        parameters = json.loads(question.parameters)
        tokens = self._tokenizer.encode(question.prompt, add_bos=parameters["add_BOS"])
        body = {
            "model": self._model,
            "prompt": tokens if self._serving.prompts == "tokens" else question.prompt,
            "seed": int(digest(["seed", question.draw])[:SEED_DIGITS], 16),
            **_sampling(parameters, self._serving.extensions),
        }
        answer = persist(lambda: self._post(body), attempts, self._stop, self._flow)
        seen = answer[1].get("prompt", len(tokens))
        if seen != len(tokens):
            return Failed(
                f"the server makes {seen} tokens of the prompt, NeMo makes {len(tokens)} of it"
            )
        if _scores(parameters):
            return self._scored(answer[0], answer[1], tokens)
        return self._reply(answer[0], answer[1], parameters)

    def _post(self, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        """The server's choice, and the tokens that it counted."""
        self._usage.sent()
        url = self._served.url + "/v1/completions"
        try:
            text = exchange(self._session, "POST", url, timeout=self._client.timeout, json=body)
        except Transient:
            self._served.check()
            raise
        self._served.check()  # an answer is its server's only while that lives
        answer = received.decoded(text, address_of(url))
        try:
            choice = answer["choices"][0]
            said, end = choice["text"], choice["finish_reason"]
        except (LookupError, TypeError):
            raise received.garbled(text) from None
        tokens = received.tokens_of(answer.get("usage"))
        unsaid = received.end_by_length(tokens, body.get("max_tokens"))
        known: dict[str, Any] = {
            "text": received.text_of(said),
            "end": received.end_of(end, unsaid),
        }
        known |= {name: choice.get(name) for name in ("logprobs", "prompt_logprobs")}
        return known, tokens

    def _reply(
        self, choice: dict[str, Any], used: dict[str, int], parameters: dict[str, Any]
    ) -> Reply:
        stops = [text for text in parameters["end_strings"] if text != END_OF_TEXT]
        text = choice["text"].removesuffix(self._client.eos)
        kept = until(text, stops)
        tokens = self._tokens(choice, kept) if parameters.get("compute_logprob") else []
        ended = choice["end"] == "stop" or kept != text
        return Reply(kept, ended, used or None, tokens)

    def _scored(self, choice: dict[str, Any], used: dict[str, int], tokens: Sequence[int]) -> Reply:
        """The prompt's own log-probabilities: of each token but the first, which has none."""
        values = choice["prompt_logprobs"]
        fail_if(
            not isinstance(values, list),
            f"{self._served.url}: the server gives no prompt_logprobs "
            "(server.prompt_logprobs: true); accepted: one that does, as vLLM",
        )
        if len(values) != len(tokens):
            raise received.Unfit(f"not one log-probability for each of {len(tokens)} tokens")
        pairs = zip(tokens[1:], values[1:], strict=True)
        scored = [Token("", _of_token(token, value)) for token, value in pairs]
        return Reply("", True, used or None, [*scored, Token("", 0.0)])  # one that was generated

    def _tokens(self, choice: dict[str, Any], text: str) -> list[Token]:
        """The tokens of a text, with their log-probabilities."""
        logprobs = choice["logprobs"] if isinstance(choice["logprobs"], dict) else {}
        values = logprobs.get("token_logprobs")
        fail_if(
            not logprobs.get("tokens") or not values,
            f"{self._served.url}: the server gives no log-probabilities, which the judge reads; "
            "accepted: one that does, or another judge (preferences.judge)",
        )
        texts = received.texts_of(logprobs["tokens"])
        if not isinstance(values, list) or len(values) != len(texts):
            raise received.Unfit(f"not one log-probability for each of {len(texts)} tokens")
        tokens: list[Token] = []
        length = 0
        for token, logprob in zip(texts, values, strict=True):
            if length >= len(text):
                break
            tokens.append(Token(token, logprob))
            length += len(token)
        return tokens


def _parameters(pair: tuple[Question, Reply | Failed]) -> str:
    return pair[0].parameters


def _scores(parameters: dict[str, Any]) -> bool:
    """Whether a text itself is to be scored: nothing that goes on after it has an end."""
    return bool(parameters.get("compute_logprob")) and parameters["end_strings"] == [END_OF_TEXT]


def _of_token(token: int, values: Any) -> Any:
    """The log-probability of a token, among those that the server gives for its place.

    Raises:
        Unfit: it is not there.
    """
    try:
        return values[str(token)]["logprob"]
    except (LookupError, TypeError):
        raise received.Unfit("a token without its log-probability") from None


def _sampling(parameters: dict[str, Any], extensions: bool) -> dict[str, Any]:
    """What NeMo's parameters are in OpenAI's names, and in vLLM's beyond them.

    Raises:
        UserError: a parameter that the server does not understand.
    """
    greedy = parameters["greedy"]
    top_k, penalty = parameters.get("top_k", 0), parameters.get("repetition_penalty", 1.0)
    body = {
        "max_tokens": parameters["tokens_to_generate"],
        "temperature": 0.0 if greedy else parameters["temperature"],
        "top_p": 1.0 if greedy else parameters["top_p"],
    }
    if _scores(parameters):
        return body | {"prompt_logprobs": 0}  # beyond that of the token itself
    if parameters.get("compute_logprob"):
        return body | {"logprobs": 1}  # without stop texts, which would be missing in the text
    stops = [text for text in parameters["end_strings"] if text != END_OF_TEXT]
    body |= {"stop": stops} if stops else {}
    own = {} if greedy or not top_k else {"top_k": top_k}
    own |= {"repetition_penalty": penalty} if penalty != 1.0 else {}
    if not extensions:
        fail_if(
            own,
            f"the server takes no {' and no '.join(own)} (server.extensions: false), and the "
            f"sampling asks for {own}",
        )
        return body
    fewest = parameters.get("min_tokens_to_generate", 0)
    own |= {"min_tokens": fewest} if fewest else {}
    return body | own | {"skip_special_tokens": False}  # a stop text may be a special token


def until(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of the stop texts, and with it; all of it if there is none."""
    ends = [place + len(stop) for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text
