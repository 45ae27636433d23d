"""Brings the requests of many callers to a server: in batches for one, side by side for another."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from cai.asking.client import Client, Completion, Failed, Request, Scores, Scoring
from cai.asking.serving import ServerFailed
from cai.core.errors import UserError

Query = Request | Scoring
Answer = Completion | Scores | Failed
Waiting = tuple[Query, "Future[Answer]"]


def answers(client: Client, asked: Sequence[Query]) -> list[Answer]:
    """The answers of a client to what callers ask, in their order."""
    requests = [one for one in asked if isinstance(one, Request)]
    scorings = [one for one in asked if isinstance(one, Scoring)]
    written = iter(client.complete(requests, None) if requests else [])
    scored = iter(client.scores(scorings, None) if scorings else [])
    return [next(written) if isinstance(one, Request) else next(scored) for one in asked]


class Dispatcher:
    """Asks for many threads at a time; what waits while a server is busy is asked together.

    Args:
        ask: asks a server for some answers, from several threads.
        threads: that ask at a time: one for a server that takes batches, many for another.
        most: requests that are asked together.
    """

    def __init__(
        self, ask: Callable[[Sequence[Query]], list[Answer]], threads: int, most: int
    ) -> None:
        self._ask, self._most = ask, most
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        for _ in range(threads):
            threading.Thread(target=self._work, daemon=True).start()

    def ask(self, requests: Sequence[Query]) -> list[Answer]:
        """The answers to some requests, in their order.

        Raises:
            UserError: the server refuses what is asked of it, or has failed.
        """
        asked: list[Waiting] = [(request, Future()) for request in requests]
        with self._changed:
            self._waiting.extend(asked)
            self._changed.notify_all()
        return [answer.result() for _, answer in asked]

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                count = min(self._most, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(count)]
            self._answer(batch)

    def _answer(self, batch: Sequence[Waiting]) -> None:
        """Answer a batch; where the server refuses it, one caller's request fails no other's."""
        try:
            replies = self._ask([request for request, _ in batch])
        except UserError as error:
            if len(batch) == 1 or isinstance(error, ServerFailed):
                _fail(batch, error)
            else:
                for one in batch:
                    self._answer([one])
        except BaseException as error:  # of the program: each caller learns of it
            _fail(batch, error)
        else:
            for (_, answer), reply in zip(batch, replies, strict=True):
                answer.set_result(reply)


def _fail(batch: Sequence[Waiting], error: BaseException) -> None:
    for _, answer in batch:
        answer.set_exception(error)
