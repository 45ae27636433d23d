"""Steps run without asking a model, to count how many of their questions would be new.

A planned job's program runs its own steps, with the options of its own command line. Its questions
are answered from the journals, or with a placeholder if they have no answer. A placeholder is a
text that is in no journal, so questions that depend on a new answer are new, too, and so are all
questions to a model that does not exist yet.
"""

import argparse
import importlib.util
import itertools
import json
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from cai.asking.chat.chat_client import ChatClient
from cai.asking.chat.gate import Gate
from cai.asking.chat_model import ChatModel
from cai.asking.client import Client
from cai.asking.journal.entries import Journal, stage_of
from cai.asking.program import parse
from cai.asking.protocol import Question
from cai.asking.record_chains import Answers
from cai.asking.rewards import RewardModel
from cai.asking.run import Run, settings_for
from cai.asking.serving import Served
from cai.asking.transport.pool import Pool
from cai.core import cli
from cai.core.numbered import unfolded
from cai.files.lazily import Rows
from cai.files.records import Ledger, Record, Row, of_kind, read_jsonl, record_id, shard_of
from cai.models.templates import Template
from cai.models.tokens import LengthLimit, Tokenizer
from cai.provenance import manifest
from cai.settings.judges import ChatJudge

PLACEHOLDER = "(planned {})"
NOBODY = Served(None, "planned", "planned")  # a server that is never asked


class Count(NamedTuple):
    """The questions of a job.

    Attributes:
        new: that the journals do not answer, at most.
        reused: that they do, at least.
        tokens: that the new answers may have, at most.
        sure: those of the new that do not follow from another new answer. One that does is not
            asked if that answer fails, and is known already if that answer equals an earlier one.
        exact: whether all new ones are sure, of records that are there already.
    """

    new: int = 0
    reused: int = 0
    tokens: int = 0
    sure: int = 0
    exact: bool = True

    def plus(self, other: "Count") -> "Count":
        """The questions of both."""
        return Count(
            self.new + other.new,
            self.reused + other.reused,
            self.tokens + other.tokens,
            self.sure + other.sure,
            self.exact and other.exact,
        )


class _Tally:
    """What a job would ask: tokens of its new answers, and how many of them are sure."""

    def __init__(self) -> None:
        self.tokens = self.sure = 0

    def add(self, text: str, tokens: int) -> None:
        """Count a question by its text."""
        self.tokens += tokens
        self.sure += PLACEHOLDER.split("{", 1)[0] not in text


class _SilentClient(Client):
    """A client that answers from the journal only."""

    def __init__(self, tally: _Tally, *arguments: Any) -> None:
        super().__init__(NOBODY, *arguments)
        self._tally = tally

    def _answers(self, questions: Any, read: Any, what: str | None) -> list[Any]:
        return super()._answers(questions, read, None)

    def _ask_all(self, batches: Any, read: Any) -> Iterator[dict[str, Any]]:
        for batch in batches:
            for question in batch:
                self.usage.answered(question.key, None)
            yield {question.key: self._placeholder(question) for question in batch}

    def _placeholder(self, question: Question) -> dict[str, str] | float:
        """A number where one is asked for, else a text."""
        parameters = json.loads(question.parameters)
        self._tally.add(question.prompt, parameters["tokens_to_generate"])
        if parameters.get("compute_logprob"):
            return 0.5
        return {"text": PLACEHOLDER.format(question.key), "finish": "stop"}


class _SilentService(ChatClient):
    """A chat service that is never asked; it needs no key."""

    def __init__(self, tally: _Tally, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tally = tally

    remedy = ""  # placeholders are no verdicts, and that needs no remedy

    @contextmanager
    def stream(self) -> Iterator[Answers]:
        """The placeholders; no progress is shown."""
        with super().stream() as stream:
            stream.shows_chains = False
            yield stream

    def _source(self) -> Pool[Any, Any]:
        return _Placeholders(self._tally)

    def _gate(self, expected: str) -> Gate:
        return Gate("")  # placeholders cannot be read


class _Placeholders(Pool[Any, Any]):
    """Answers the questions to a chat service with placeholders."""

    def __init__(self, tally: _Tally) -> None:
        super().__init__(self._answer, 1, threading.Event())
        self._tally = tally
        self._asked: list[Any] = []

    def put(self, item: Any) -> None:
        self.under_way += 1
        self._asked.append(item)

    def get(self) -> list[tuple[Any, Any]]:
        asked, self._asked, self.under_way = self._asked, [], 0
        return [(question, self._answer(question)) for question in asked]

    def _answer(self, question: Any) -> dict[str, Any]:
        body = question.body
        self._tally.add(json.dumps(body["messages"]), body.get("max_tokens", 0))
        return {"text": PLACEHOLDER.format(question.key), "finish": "stop", "p_a": 0.5}


class _SilentRewards(RewardModel):
    """A reward model that is not asked."""

    def __init__(self, tally: _Tally, *arguments: Any) -> None:
        super().__init__(NOBODY, *arguments)
        self._tally = tally

    def rewards(self, texts: Sequence[str], what: str | None) -> list[float]:
        return super().rewards(texts, None)

    def _ask(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        for text in texts:
            self._tally.add(text, 0)
        return [(text, 0.0) for text in texts]


class _Notes(Journal):
    """A stage's journals, with placeholders on top that are not written to disk."""

    def __init__(self, path: None) -> None:
        super().__init__(path)
        self._placeholders: dict[str, Any] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._placeholders or super().__contains__(key)

    def get(self, key: str) -> Any:
        """The placeholder, or the answer that the journals hold."""
        return self._placeholders[key] if key in self._placeholders else super().get(key)

    def put_all(self, values: Mapping[str, Any], model: str = "", sampling: str = "") -> None:
        """Keep placeholders."""
        self._placeholders.update(values)

    def correct(self, values: Mapping[str, Any]) -> None:
        """Nothing: a plan leaves no trace."""


_Silent = _SilentClient | _SilentService | _SilentRewards


class _Uncounted(Tokenizer):
    """Finds every text short enough: its model is still to be made."""

    is_huggingface = False

    def __init__(self) -> None:
        """It has no file."""

    def count(self, text: str, *, add_bos: bool = False) -> int:
        """None."""
        return 0


_UNKNOWN = Template(user="{content}", assistant="{content}", stop=["\n"], add_bos=False)


class Rehearsal(Run):
    """The surroundings of planned jobs: records as they are or will be, journals, and no model.

    Args:
        coming: the files that the planned jobs will make.
        expected: for a file that no step makes (prompts out of a dataset) and that is not there,
            how many records it will have.
    """

    def __init__(self, coming: Iterable[str], expected: Callable[[str], int]) -> None:
        self._coming, self._expected = set(coming), expected
        self._made: dict[str, list[Record]] = {}
        self._inexact: set[str] = set()  # files whose records are not all sure to be there
        self._read: dict[str, list[Record]] = {}
        self._shards: dict[tuple[str, int], list[list[Record]]] = {}
        self._stages: dict[tuple[Path, str], Journal] = {}
        self._parsers: dict[str, argparse.ArgumentParser] = {}
        self._asked: list[_Silent] = []
        self._exact, self._tally = True, _Tally()

    def rehearse(self, command: str) -> Count | None:
        """Go through the job of a rule's command line; None for one that asks no model."""
        words = _words(command)
        program = Path(words[1]) if len(words) > 1 else Path()
        step = _step(program)
        if step is None:
            return None
        self._asked, self._exact, self._tally = [], True, _Tally()
        step.step(parse(self._parser(program.stem, step), words[2:]), self)
        return self._count()

    def read(self, path: Path, kind: type[Row]) -> list[Row]:
        """The records of a file; of one that is still to be made, those that a step will make."""
        return [of_kind(row, kind, str(path)) for row in self._rows(path)]

    def _rows(self, path: Path) -> list[Record]:
        name = str(path)
        self._exact &= name not in self._inexact
        if name in self._made:
            return self._made[name]
        if name in self._coming:
            self._exact = False
            self._inexact.add(name)
            there = path.is_file()  # as the last run made it, which is the best guess
            rows = list(read_jsonl(path)) if there else _placeholders(name, self._expected(name))
            self._made[name] = rows
            return rows
        if name not in self._read:
            self._read[name] = list(read_jsonl(path))
        return self._read[name]

    def records(self, options: argparse.Namespace, kind: type[Row]) -> list[Row]:
        """The input's records that belong to this shard."""
        rows, (index, count) = self._rows(options.input), options.shard
        place = (str(options.input), count)
        if count > 1 and place not in self._shards:
            self._shards[place] = _sharded(rows, count)
        mine = self._shards[place][index] if count > 1 else rows
        return [of_kind(row, kind, str(options.input)) for row in mine]

    def spooled(self, rows: Iterable[Row], options: argparse.Namespace) -> list[Row]:
        """The rows, which stay in memory: a plan leaves no trace."""
        return list(rows)

    @contextmanager
    def journal(self, options: argparse.Namespace) -> Iterator[Journal]:
        """What all journals of the stage hold."""
        own = options.journal[0]
        place = (own.parent, stage_of(own))
        if place not in self._stages:
            self._stages[place] = _Notes.reading(*options.journal)
        yield self._stages[place]

    @contextmanager
    def model(self, options: argparse.Namespace, counts: bool = False) -> Iterator[ChatModel]:
        """The model that the options name, or the place of one that is still to be made."""
        options.template = self.template(options)
        tokenizer = self.tokenizer_for(options, counts or options.context is not None)
        settings = settings_for(options.client, tokenizer)
        with self.journal(options) as journal:
            client = _SilentClient(self._tally, journal, self._identity(options.model), settings)
            self._asked.append(client)
            yield ChatModel(client, options.template, tokenizer, options.context)

    @contextmanager
    def service(self, judge: ChatJudge, options: argparse.Namespace) -> Iterator[ChatClient]:
        """A chat service that judges."""
        with self.journal(options) as journal:
            client = _SilentService(
                self._tally, judge.url, judge.model, None, journal, judge.client
            )
            self._asked.append(client)
            yield client

    @contextmanager
    def reward_model(
        self, options: argparse.Namespace
    ) -> Iterator[tuple[RewardModel, LengthLimit]]:
        """The reward model that the options name, or the place of one."""
        with self.journal(options) as journal:
            model = _SilentRewards(
                self._tally, journal, self._identity(options.model), options.batch_size
            )
            self._asked.append(model)
            yield model, self.limit(options)

    def template(self, options: argparse.Namespace) -> Template:
        """The model's template; of a model that does not exist yet, any."""
        return super().template(options) if options.model.is_file() else _UNKNOWN

    def tokenizer(self, path: Path) -> Tokenizer:
        """The tokenizer of a model; for a model that does not exist yet, one that counts 0."""
        return Tokenizer(path) if path.is_file() else _Uncounted()

    def write(
        self,
        rows: Iterable[Mapping[str, Any]],
        ledger: Ledger,
        output: Path,
        report: Record | None = None,
    ) -> None:
        """Keep the rows for the jobs that read them."""
        self._made[str(output)] = [dict(row) for row in rows]
        if self._count().new or not self._exact:
            self._inexact.add(str(output))

    def record(self, options: argparse.Namespace, ledger: Ledger | Sequence[Ledger]) -> None:
        """Nothing: a plan leaves no trace."""

    def conclude(
        self,
        rows: Rows[Mapping[str, Any]],
        ledger: Ledger,
        options: argparse.Namespace,
        report: Record | None = None,
    ) -> None:
        """Keep the rows, whatever share of them is dropped."""
        self.write(rows, ledger, options.output)

    def _count(self) -> Count:
        """The questions of the present job so far."""
        usages = [client.usage.as_dict() for client in self._asked]
        reused = sum(usage["reused"] for usage in usages)
        new = sum(usage["questions"] for usage in usages) - reused
        tally = self._tally
        return Count(new, reused, tally.tokens, tally.sure, self._exact and tally.sure == new)

    def _identity(self, model: Path) -> str:
        if str(model) in self._coming or not model.is_file():
            return f"planned {model}"
        return manifest.identity(model)

    def _parser(self, name: str, step: ModuleType) -> argparse.ArgumentParser:
        """A program's command line, which takes files that are still to be made."""
        if name not in self._parsers:
            self._parsers[name] = step.parser()
            for action in self._parsers[name]._actions:
                action.type = Path if action.type is cli.existing_file else action.type
        return self._parsers[name]


def _words(command: str) -> list[str]:
    """The words of a rule's command, up to the pipe into its log."""
    words = shlex.split(command)
    ends = [place for place, word in enumerate(words) if word == "2>&1"]
    return unfolded(words[: ends[-1]] if ends else words)


@cache
def _step(program: Path) -> ModuleType | None:
    """The program as a module, if it is one whose step can be rehearsed."""
    if program.suffix != ".py" or not program.is_file():
        return None
    if "\ndef step(" not in program.read_text(encoding="utf-8"):
        return None
    spec = importlib.util.spec_from_file_location(program.stem, program)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _sharded(rows: Sequence[Record], count: int) -> list[list[Record]]:
    """All shards at once: asking for each in turn would take the square of the time."""
    shards: list[list[Record]] = [[] for _ in range(count)]
    for row in rows:
        shards[shard_of(row["id"], count)].append(row)
    return shards


def _placeholders(name: str, count: int) -> list[Record]:
    """Prompts that are not known yet, half of each set where there are two."""
    texts = [f"{PLACEHOLDER.format(name)} {number}" for number in range(count)]
    sets = itertools.cycle(("harmful", "helpful"))
    return [
        {"id": record_id(text), "prompt": text, "set": next(sets), "source": name} for text in texts
    ]
