"""A model of a GPU's engine: an OpenAI-compatible server that takes an engine's time, and no GPU.

    python benchmarks/engine_model.py --port 8001

It decodes in steps, as servers with continuous batching do. A step gives each sequence that runs
one token, and takes ``BASE + EACH x sequences + PREFILL x tokens of new prompts``. Sequences that
wait are admitted before each step, as long as there are places, blocks of the cache, and tokens
left of a step's budget. Prompts that begin alike share their blocks; blocks of prompts that have
ended are kept until they are needed (the least recently used goes first). Of a real engine it
lacks: blocks of answers are not shared with the prompts that repeat them, a sequence gets all its
blocks at once, so that none is ever preempted, and steps do not become slower with long contexts.

Time is the wall clock's, divided by ``--speed``: while a client computes, the engine goes on. Where
the machine is late with a step, the next ones come sooner, so that no time is lost but what the
client takes. ``GET /run`` says what the engine did since the last look, and how long it would have
taken had all those requests waited at its door from the start: its peak.

Sources of the numbers:

- ``BASE`` and ``EACH``: least squares through the inter-token latencies of Llama-3.1-8B-Instruct on
  one H100 with 1 to 250 requests, https://docs.nvidia.com/nim/benchmarking/llm/1.0.0/performance
  (version 1.8.0).
- ``PREFILL``: 2 x 8.03e9 operations a token at half of the H100's 989e12 a second (bfloat16).
- ``SEQUENCES``: not more than what was measured there.
- ``BLOCKS``: of 16 tokens, each token 128 kB (32 layers, 8 heads of 128, keys and values, 2 bytes),
  in 55 of 80 GB: what weights of 16 GB leave of 90 %.
- Answers: log-normal, with the mean of LMSYS-Chat-1M's answers (214.5 tokens; Zheng et al. 2023,
  arXiv 2309.11998, table 1) and a deviation of 1: the median is 130, and 2 % are over 1,024.
"""

import argparse
import asyncio
import heapq
import json
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from statistics import NormalDist

from cai.core import cli

LATENCIES = {1: 4.63, 5: 4.58, 25: 5.19, 50: 5.91, 100: 7.57, 150: 9.81, 200: 12.65, 250: 16.14}
PREFILL = 2 * 8.03e9 / (0.5 * 989e12)  # seconds a token
SEQUENCES, BLOCKS, BLOCK, BUDGET = 256, 26_000, 16, 8192
MEAN, DEVIATION = 214.5, 1.0  # tokens; of the logarithm
WORDS = ("one", "way", "would", "be", "to", "ask", "them", "first", "and", "then", "wait")


def fitted(latencies: dict[int, float]) -> tuple[float, float]:
    """Least squares: seconds a step, and seconds for each sequence beside them."""
    count, values = [*latencies], [*latencies.values()]
    x, y = sum(count) / len(count), sum(values) / len(values)
    slope = sum((a - x) * (b - y) for a, b in latencies.items()) / sum((a - x) ** 2 for a in count)
    return (y - slope * x) / 1000, slope / 1000


BASE, EACH = fitted(LATENCIES)


@dataclass
class Asked:
    """A request: its prompt's blocks, by what is in them and before, and its answer's length."""

    prompt: int
    keys: list[bytes]
    answer: int
    done: Callable[[], None] = lambda: None
    left: int = 0  # tokens of the prompt that are not computed yet
    blocks: int = 0  # of its own: what is not shared


@dataclass
class Engine:
    """The engine, without a clock: what each step does and takes.

    Attributes:
        seconds, steps, tokens: of all steps so far.
    """

    waiting: deque[Asked] = field(default_factory=deque)
    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    reused: int = 0
    computed: int = 0

    def __post_init__(self) -> None:
        self._prefilling: deque[Asked] = deque()
        self._decoding: list[tuple[int, int, Asked]] = []  # by the step in which each ends
        self._used: Counter[bytes] = Counter()
        self._idle: OrderedDict[bytes, None] = OrderedDict()
        self._own = 0
        self._number = 0

    @property
    def busy(self) -> bool:
        """Whether there is something to do."""
        return bool(self.waiting or self._prefilling or self._decoding)

    def step(self) -> list[Asked]:
        """One token for each that runs; returns those that have ended."""
        self._admit()
        prefilled = self._prefill()
        running = len(self._decoding)
        self.steps += 1
        self.seconds += BASE + EACH * running + PREFILL * prefilled
        self.tokens += running
        ended = []
        while self._decoding and self._decoding[0][0] <= self.steps:
            ended.append(heapq.heappop(self._decoding)[2])
        for sequence in ended:
            self._free(sequence)
        return ended

    def _admit(self) -> None:
        while self.waiting and len(self._decoding) + len(self._prefilling) < SEQUENCES:
            sequence = self.waiting[0]
            shared = self._shared(sequence.keys)
            new = -(-(sequence.prompt + sequence.answer) // BLOCK) - shared
            revived = sum(key in self._idle for key in sequence.keys[:shared])
            if len(self._used) + revived + self._own + new > BLOCKS:
                return
            self.waiting.popleft()
            for key in sequence.keys:
                self._idle.pop(key, None)
                self._used[key] += 1
            sequence.blocks = new - (len(sequence.keys) - shared)
            self._own += sequence.blocks
            while len(self._used) + self._own + len(self._idle) > BLOCKS:
                self._idle.popitem(last=False)
            sequence.left = max(sequence.prompt - shared * BLOCK, 1)  # the last one is computed
            self.reused += sequence.prompt - sequence.left
            self._prefilling.append(sequence)

    def _shared(self, keys: Sequence[bytes]) -> int:
        """How many of a prompt's first blocks are there."""
        for place, key in enumerate(keys):
            if key not in self._used and key not in self._idle:
                return place
        return len(keys)

    def _prefill(self) -> int:
        """Compute prompts, as many tokens as a step has room for; those that are whole decode."""
        room = BUDGET - len(self._decoding)
        start = room
        while self._prefilling and room:
            sequence = self._prefilling[0]
            taken = min(sequence.left, room)
            sequence.left -= taken
            room -= taken
            if sequence.left == 0:
                self._prefilling.popleft()
                self._number += 1
                end = self.steps + sequence.answer
                heapq.heappush(self._decoding, (end, self._number, sequence))
        self.computed += start - room
        return start - room

    def _free(self, sequence: Asked) -> None:
        self._own -= sequence.blocks
        for key in sequence.keys:
            self._used[key] -= 1
            if not self._used[key]:
                del self._used[key]
                self._idle[key] = None


def keys_of(prompt: Sequence[int]) -> list[bytes]:
    """What stands in each whole block of a prompt and before it, as digests."""
    keys, so_far = [], b""
    for start in range(0, len(prompt) - BLOCK + 1, BLOCK):
        part = json.dumps(prompt[start : start + BLOCK]).encode()
        so_far = blake2b(so_far + part, digest_size=12).digest()
        keys.append(so_far)
    return keys


def length_of(prompt: Sequence[int], most: int) -> int:
    """How many tokens the answer to a prompt has: always the same, drawn by the prompt."""
    draw = Random(blake2b(json.dumps(prompt).encode(), digest_size=8).digest()).random()
    middle = math.log(MEAN) - DEVIATION**2 / 2
    return max(1, min(most, round(math.exp(NormalDist(middle, DEVIATION).inv_cdf(draw)))))


class Server:
    """The engine behind HTTP, by a clock.

    Args:
        speed: seconds of the engine in one of the clock.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._engine = Engine()
        self._seen: list[Asked] = []
        self._began: float | None = None
        self._last = self._late = 0.0
        self._more = asyncio.Event()

    async def run(self) -> None:
        """Make steps for ever, each when its time has come."""
        now = time.perf_counter
        due = now()
        while True:
            if not self._engine.busy:
                self._more.clear()
                await self._more.wait()
                due = now()
                self._began = self._began or due
            before = self._engine.seconds
            ended = self._engine.step()
            due += (self._engine.seconds - before) / self._speed
            await asyncio.sleep(max(due - now(), 0))
            self._late = max(self._late, now() - due)
            for asked in ended:
                asked.done()
            self._last = now()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *fields = head.decode().lower().split("\r\n")
                size = next((f.split(":")[1] for f in fields if f.startswith("content-length")), 0)
                body = await reader.readexactly(int(size))
                content = json.dumps(await self._answer(first.split()[1], body)).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
                writer.write(content)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, path: str, body: bytes) -> object:
        if path == "/run":
            return self._told()
        if not body:
            return {"data": [{"id": "model"}]}
        asked = json.loads(body)
        prompt = asked["prompt"]
        length = length_of(prompt, asked["max_tokens"])
        future = asyncio.get_running_loop().create_future()
        sequence = Asked(len(prompt), keys_of(prompt), length, lambda: future.set_result(None))
        self._seen.append(sequence)
        self._engine.waiting.append(sequence)
        self._more.set()
        await future
        text = "".join(f" {WORDS[(length + place) % len(WORDS)]}" for place in range(length))
        usage = {"prompt_tokens": len(prompt), "completion_tokens": length}
        return {"choices": [{"text": text, "finish_reason": "stop"}], "usage": usage}

    def _told(self) -> dict[str, float]:
        """What was done since the last look; and how long it would have taken, all at once."""
        engine, flooded = self._engine, Engine(deque(Asked(*_kept(s)) for s in self._seen))
        while flooded.busy:
            flooded.step()
        took = (self._last - (self._began or self._last)) * self._speed
        count, late = len(self._seen), self._late
        self._engine, self._seen, self._began, self._late = Engine(), [], None, 0.0
        return {
            "requests": count,
            "tokens": engine.tokens,
            "seconds": took,
            "seconds_at_work": engine.seconds,
            "seconds_flooded": flooded.seconds,
            "prompt_tokens_reused": engine.reused / max(engine.reused + engine.computed, 1),
            "latest_step": late,
        }


def _kept(asked: Asked) -> tuple[int, list[bytes], int]:
    return asked.prompt, asked.keys, asked.answer


async def _serve(port: int, speed: float) -> None:
    server = Server(speed)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port, backlog=2048)
    async with listening:
        await server.run()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="of the loopback interface")
    parser.add_argument("--speed", type=float, default=1.0, help="1: an engine's seconds are real")
    options = parser.parse_args()
    asyncio.run(_serve(options.port, options.speed))


if __name__ == "__main__":
    cli.run(main)
