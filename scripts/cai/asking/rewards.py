"""Rewards of answers, from NeMo-Aligner's own reward model server.

``serve_reward_model.py`` serves a reward model through PyTriton; it is asked by KServe's version 2
protocol in its JSON form (input ``sentences``, BYTES [n, 1]; output ``rewards``, FP32 [n, 1]).
"""

import threading
import time
from argparse import ArgumentParser
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypedDict

from cai.asking.journal.entries import Journal
from cai.asking.program import add_server_options
from cai.asking.serving import Served
from cai.asking.transport import received
from cai.asking.transport.http import (
    OutOfService,
    Refused,
    Transient,
    address_of,
    direct_session,
    exchange,
    persist,
)
from cai.asking.usage import Usage
from cai.core.cli import existing_file, json_option
from cai.core.digests import digest
from cai.core.errors import UserError, fail_if
from cai.core.progress import Progress
from cai.core.shown import one_line
from cai.files.records import Ledger, Prompt
from cai.models.templates import Message, Template
from cai.models.tokens import LengthLimit

MODEL = "reward_model"
LOADING_LIMIT = 1800.0  # seconds from the server's first answer until its model is ready
POLL = 0.5  # seconds
TIMEOUT = 600.0  # seconds for a batch
ATTEMPTS = 5


def add_reward_model_options(parser: ArgumentParser) -> None:
    """The options of a served reward model, beside those of its server."""
    parser.add_argument(
        "--model", type=existing_file, required=True, help=".nemo of the reward model"
    )
    parser.add_argument(
        "--template",
        type=json_option(Template),
        required=True,
        help="JSON of the comparisons' template",
    )
    add_server_options(parser)
    parser.add_argument("--batch-size", type=int, default=64, help="texts of a request")
    parser.add_argument("--max-tokens", type=int, help="sequence length of the reward model")


class RewardModel:
    """Scores texts with a served reward model; what is in the journal is not asked again."""

    def __init__(
        self, served: Served, journal: Journal, model_id: str, batch_size: int = 64
    ) -> None:
        self._served, self._journal = served, journal
        self._model_id, self._batch_size = model_id, batch_size
        self.usage = Usage()
        self._session = direct_session()
        self._session.headers["Connection"] = "close"  # Triton waits for open ones when it stops
        self._ready = False

    def rewards(self, texts: Sequence[str], what: str | None) -> list[float]:
        """The reward of each text, in order.

        Raises:
            UserError: if the server fails or answers in another form.
        """
        keys = {text: self.key(text) for text in texts}
        missing = {text for text, key in keys.items() if key not in self._journal}
        batches = batches_left(keys, missing, self._batch_size)
        with Progress(len(keys), what, "texts") as progress:
            progress.advance(len(keys) - len(missing), reused=True)
            for key in keys.keys() - missing:
                self.usage.answered(keys[key], None, reused=True)
            for batch in batches:
                scored = {keys[text]: score for text, score in self._ask(batch)}
                for key in scored:
                    self.usage.answered(key, None)
                self._journal.put_all(scored, self._model_id[:12])
                progress.advance(len(batch))
        return [self._journal.get(keys[text]) for text in texts]

    def key(self, text: str) -> str:
        """The key of a text's reward in the journal."""
        return digest(["reward", self._model_id, text])

    def _ask(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        self._wait_until_ready()
        try:
            answer = persist(lambda: self._infer(texts), ATTEMPTS, threading.Event())
        except (Transient, Refused) as error:
            raise self._served.failure(f"the reward model server: {error}") from None
        return list(zip(texts, answer, strict=True))

    def _infer(self, texts: Sequence[str]) -> list[float]:
        sentences = {
            "name": "sentences",
            "shape": [len(texts), 1],
            "datatype": "BYTES",
            "data": list(texts),
        }
        url = f"{self._served.url}/v2/models/{MODEL}/infer"
        self.usage.sent()
        body = {"inputs": [sentences], "outputs": [{"name": "rewards"}]}
        try:
            text = exchange(self._session, "POST", url, timeout=TIMEOUT, json=body)
        except Transient:
            self._served.check()
            raise
        self._served.check()
        return _read_rewards(text, len(texts), address_of(url))

    def _wait_until_ready(self) -> None:
        """Triton answers before its model is loaded."""
        deadline = time.monotonic() + LOADING_LIMIT
        while not self._ready:
            self._ready = self._is_ready()
            if not self._ready:
                self._served.check()
                if time.monotonic() > deadline:
                    raise self._served.failure(f"no model {MODEL} after {LOADING_LIMIT:g} s")
                time.sleep(POLL)

    def _is_ready(self) -> bool:
        url = f"{self._served.url}/v2/models/{MODEL}/ready"
        try:
            exchange(self._session, "GET", url, timeout=10.0)
        except (Transient, Refused, OutOfService):  # 404 until it is loaded
            return False
        return True


class ToScore(Prompt):
    """An answer that is to be scored."""

    answer: str


class Scored(TypedDict):
    """The reward of a text; ``id`` is that of the answer."""

    id: str
    reward: float


def score_answers(
    answers: Iterable[ToScore],
    source: str,
    reward_model: RewardModel,
    template: Template,
    length: LengthLimit,
    ledger: Ledger,
) -> list[Scored]:
    """The reward of each answer, read in the template of the reward model's data.

    A text that is longer than the reward model's sequences is dropped: the server would cut it
    without a word and read the reward in the middle of the answer. ``source`` names the answers in
    messages.
    """
    texts: dict[str, str] = {}
    for row in answers:
        ledger.count_in()
        text = template.closed(_messages(row))
        fail_if(row["id"] in texts, f"{source}: the id {row['id']} occurs twice; ids are unique")
        if length.fits(text):
            texts[row["id"]] = text
        else:
            ledger.drop("too long for the reward model", where=source, record=row["id"])
    rewards = reward_model.rewards(list(texts.values()), f"rewards of {source}")
    return [{"id": name, "reward": reward} for name, reward in zip(texts, rewards, strict=True)]


def _messages(row: ToScore) -> list[Message]:
    return [
        {"role": "user", "content": row["prompt"]},
        {"role": "assistant", "content": row["answer"]},
    ]


def batches_left(texts: Iterable[str], missing: Container[str], size: int) -> list[list[str]]:
    """The batches that are left to ask, packed as if no answer was known.

    A reward's last bits depend on its batch, so a run that was killed goes on with the same ones.
    Texts of a batch are of similar length, and the longest come first: memory runs out early.
    """
    whole: list[list[str]] = []
    rest: list[str] = []
    for batch in _packed(sorted(texts, key=lambda text: (-len(text), text)), size):
        left = [text for text in batch if text in missing]
        if len(left) == len(batch):
            whole.append(batch)
        else:
            rest += left
    return [*whole, *_packed(rest, size)]


def _packed(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(texts)
    while batch := list(islice(rest, size)):
        yield batch


def _read_rewards(text: str, count: int, address: str) -> list[float]:
    answer = received.decoded(text, address)
    try:
        [output] = [out for out in answer["outputs"] if out["name"] == "rewards"]
        shape, data = output["shape"], list(output["data"])
    except (ValueError, LookupError, TypeError):
        raise received.garbled(text) from None
    if shape != [count, 1] or len(data) != count:
        raise UserError(
            f"the reward model server answered rewards of shape {one_line(str(shape))} for {count} "
            f"texts; expected [{count}, 1] (one reward a text: a binary ranking reward model)"
        )
    try:
        return [received.number_of(value, "reward") for value in data]
    except received.Unfit as error:
        raise UserError(f"the reward model gave a reward that is no number: {error}") from None
