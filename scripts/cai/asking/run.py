"""How a step runs: where its records come from, whom it asks, where its output goes."""

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cai.asking.chat.chat_client import ChatClient
from cai.asking.chat_model import ChatModel
from cai.asking.client import Client
from cai.asking.journal.entries import Journal
from cai.asking.nemo_protocol import NemoProtocol
from cai.asking.openai_protocol import OpenAiProtocol
from cai.asking.program import NEMO
from cai.asking.protocol import Protocol
from cai.asking.rewards import RewardModel
from cai.asking.serving import MODELS, Served
from cai.core.errors import UserError, fail_if
from cai.files.lazily import Rows, ShardRecords, Spooled
from cai.files.records import (
    Ledger,
    Record,
    Row,
    ledger_path,
    read_records,
    write_json,
    write_jsonl,
)
from cai.models.nemo_tokenizer import holds_huggingface
from cai.models.own_template import resolved
from cai.models.templates import Template
from cai.models.tokens import LengthLimit, Tokenizer
from cai.provenance.manifest import identity, record
from cai.running.attempts import Attempts, Entry
from cai.running.launch import Launch
from cai.running.launcher import Launcher, filled
from cai.running.process import AT_ONCE
from cai.settings import overrides
from cai.settings.judges import ChatJudge
from cai.settings.model_servers import MODEL, ClientSettings, Serving

OTHERWISE = "reused, given otherwise"
PRECISION = re.compile(r"(.+\.)?(precision|megatron_amp_O2)|--(dtype|quantization|kv-cache-dtype)")


def cost_path(journal: Path) -> Path:
    """Where the time and the GPUs of a journal's jobs are kept: ``responses-0.cost.json``."""
    return journal.with_suffix(".cost.json")


class Run:
    """What a step has around it: where its records come from, whom it asks, where its output goes.

    This is the real thing. A plan takes the same steps through another one, which asks nobody and
    writes nothing (:class:`cai.plan.rehearsal.Rehearsal`): so it counts what a run will do.
    """

    _journals: tuple[Journal, ...] = ()  # of the servers so far

    def read(self, path: Path, kind: type[Row]) -> Iterable[Row]:
        """The records of a file, which are of one kind."""
        return read_records(path, kind)

    def records(self, options: argparse.Namespace, kind: type[Row]) -> Rows[Row]:
        """The input's records that belong to this shard, read when they are needed."""
        return ShardRecords(options.input, kind, options.shard)

    def spooled(self, rows: Iterable[Row], options: argparse.Namespace) -> Rows[Row]:
        """Rows as they come, out of memory until they are written to the output."""
        return Spooled(rows, options.output.parent)

    def tokenizer(self, path: Path) -> Tokenizer:
        """The tokenizer of a model."""
        return Tokenizer(path)

    def template(self, options: argparse.Namespace) -> Template:
        """The template in which the model is spoken to."""
        return resolved(options.template, options.model)

    def tokenizer_for(self, options: argparse.Namespace, counts: bool) -> Tokenizer | None:
        """The tokenizer of the model that the options name; None if nobody needs it."""
        needed = counts or holds_huggingface(options.model)
        return self.tokenizer(options.tokenizer or options.model) if needed else None

    @contextmanager
    def journal(self, options: argparse.Namespace) -> Iterator[Journal]:
        """The journal that the options name; what the job costs is kept beside it."""
        with _recorded(options) as (journal, _):
            yield journal

    @contextmanager
    def server(
        self, options: argparse.Namespace, serving: Serving = NEMO
    ) -> Iterator[tuple[Served, Journal]]:
        """The server that the options name, stopped at the end if it was started; the journal."""
        fail_if(
            (options.server is None) == (options.url is None),
            "expected either --url or a server's command after a bare --, found "
            + ("neither" if options.url is None else "both"),
        )
        log = options.log or options.journal[0].with_suffix(".server.log")
        work = options.journal[0].parent
        served = served_by(serving, options.server, options.url, log, options.launch, work)
        with _recorded(options) as (journal, entry), served:
            journal.by = answers_by(serving, options.server)
            self._journals = (*self._journals, journal)
            try:
                yield served, journal
            finally:
                entry["start_seconds"] = round(served.start_seconds, 1)
            if journal.otherwise:
                print(_reused_otherwise(journal), flush=True)

    @contextmanager
    def model(self, options: argparse.Namespace, counts: bool = False) -> Iterator[ChatModel]:
        """The model that the options name, behind :meth:`server`.

        With ``counts`` it counts tokens, whether or not there is a context to keep within.
        """
        if options.server is not None:
            loaded = exported_folder(options.exported[0]) if options.exported else options.model
            options.server = loading(options.server, loaded, options.serving)
        options.template = self.template(options)
        known = counts or options.context is not None or options.serving.kind == "openai"
        tokenizer = self.tokenizer_for(options, known)
        with self.server(options, options.serving) as (served, journal):
            client = client_of(
                options.serving,
                served,
                journal,
                identity(options.model),
                settings_for(options.client, tokenizer),
                tokenizer,
            )
            yield ChatModel(client, options.template, tokenizer, options.context)

    @contextmanager
    def service(self, judge: ChatJudge, options: argparse.Namespace) -> Iterator[ChatClient]:
        """A chat service that judges."""
        with self.journal(options) as journal:
            yield ChatClient(judge.url, judge.model, judge.key_variable, journal, judge.client)

    @contextmanager
    def reward_model(
        self, options: argparse.Namespace
    ) -> Iterator[tuple[RewardModel, LengthLimit]]:
        """The reward model that the options name, and the length of its sequences."""
        with self.server(options) as (served, journal):
            model = RewardModel(served, journal, identity(options.model), options.batch_size)
            yield model, self.limit(options)

    def limit(self, options: argparse.Namespace) -> LengthLimit:
        """The length of a reward model's sequences."""
        tokenizer = self.tokenizer(options.model) if options.max_tokens else None
        return LengthLimit(tokenizer, options.max_tokens, add_bos=options.template.add_bos)

    def write(
        self,
        rows: Iterable[Mapping[str, Any]],
        ledger: Ledger,
        output: Path,
        report: Record | None = None,
    ) -> None:
        """Write rows, which the ledger has counted; beside them the ledger and a report, if any."""
        for journal in self._journals:
            if journal.otherwise:
                ledger.notes[OTHERWISE] = {"now": journal.by, "reused": journal.otherwise}
        ledger.write(output)
        write_jsonl(output, rows)
        if report is not None:
            write_json(output.with_suffix(".report.json"), report)

    def record(self, options: argparse.Namespace, ledger: Ledger | Sequence[Ledger]) -> None:
        """Write the manifests of the output."""
        record(options, "output", ledger=ledger)

    def conclude(
        self,
        rows: Rows[Mapping[str, Any]],
        ledger: Ledger,
        options: argparse.Namespace,
        report: Record | None = None,
    ) -> None:
        """Count the rows, :meth:`write` them to the output that the options name, and record it.

        Raises:
            UserError: if more than the accepted share failed; the ledger is written all the same.
        """
        ledger.out += len(rows)
        if _too_many_failed(ledger, options):
            ledger.write(options.output)
            raise UserError(_failures(ledger, options))
        self.write(rows, ledger, options.output, report)
        self.record(options, ledger)


def loading(command: Sequence[str], model: Path, serving: Serving) -> list[str]:
    """A server's command with the model that it loads; NeMo's take it in Hydra's grammar."""
    path = str(model)
    return filled(command, {MODEL: overrides.value(path) if serving.kind == "nemo" else path})


def served_by(
    serving: Serving,
    command: Sequence[str] | None,
    url: str | None,
    log: Path,
    launch: Launch = Launch(),  # noqa: B008 - frozen
    work: Path | None = None,
) -> Served:
    """A server of some kind; those of kind openai are one process, which finds the GPUs itself."""
    if serving.kind == "nemo":
        own = Launcher(launch)
        return Served(command, url, log, launcher=own, work=work, patience=AT_ONCE)
    alone = launch.model_copy(update={"one_task": True})
    return Served(command, url, log, launcher=Launcher(alone), page=MODELS, work=work)


def answers_by(serving: Serving, command: Sequence[str] | None) -> str:
    """What shapes the arithmetic of a server's answers: its kind, and what its command says of it.

    Answers that were given otherwise are reused, as they are paid for and from the same model; but
    they are not those that this server would give, so it is said (:attr:`Journal.otherwise`).
    """
    words = list(command or [])
    pairs = [
        tuple(word.lstrip("+").split("=", 1)) if "=" in word else (word, after)
        for word, after in zip_longest(words, words[1:], fillvalue="")
    ]
    named = {f"{name}={value}" for name, value in pairs if PRECISION.fullmatch(name)}
    return " ".join([serving.kind, *sorted(named)])


def _reused_otherwise(journal: Journal) -> str:
    given = ", ".join(f"{count} by {by}" for by, count in journal.otherwise.items())
    return (
        f"reused answers that another server or precision gave: {given}; now: {journal.by}; to ask "
        f"anew, move {journal.path} and its siblings away"
    )


def client_of(
    serving: Serving,
    served: Served,
    journal: Journal,
    model_id: str,
    settings: ClientSettings,
    tokenizer: Tokenizer | None,
) -> Client:
    """A client that speaks the protocol of the server."""
    protocol = protocol_of(serving, served, settings, tokenizer)
    return Client(served, journal, model_id, settings, protocol)


def protocol_of(
    serving: Serving, served: Served, settings: ClientSettings, tokenizer: Tokenizer | None
) -> Protocol:
    """How the server is asked.

    NeMo's is asked without a tokenizer, unless that is one of Hugging Face's.
    """
    if serving.kind == "nemo":
        return NemoProtocol(served, settings, tokenizer)
    if tokenizer is None:
        raise TypeError("a server of kind openai needs the model's tokenizer")
    return OpenAiProtocol(served, settings, serving, tokenizer)


def settings_for(settings: ClientSettings, tokenizer: Tokenizer | None) -> ClientSettings:
    """How a server is asked, with the EOS that a Hugging Face tokenizer names itself."""
    if tokenizer is None or not tokenizer.is_huggingface or tokenizer.eos is None:
        return settings
    return settings.model_copy(update={"eos": tokenizer.eos})


def exported_folder(mark: Path) -> Path:
    """The Hugging Face folder that a mark guards: its sibling of the same name."""
    return mark.with_suffix("")


@contextmanager
def _recorded(options: argparse.Namespace) -> Iterator[tuple[Journal, Entry]]:
    """The journal, and the entry of what this job costs, with the answers that it adds."""
    attempts = Attempts(cost_path(options.journal[0]), options.launch.attempt, options.launch.gpus)
    with Journal(*options.journal) as journal, attempts.running() as entry:
        try:
            yield journal, entry
        finally:
            entry["new"], entry["reused"] = journal.added, journal.reused


def _too_many_failed(ledger: Ledger, options: argparse.Namespace) -> bool:
    most: float = options.max_bad_share
    return ledger.bad > most * ledger.seen


def _failures(ledger: Ledger, options: argparse.Namespace) -> str:
    """How many records failed, and most of them why."""
    bad = sum(ledger.dropped.values())
    reason, count = ledger.dropped.most_common(1)[0]
    record = next(row["record"] for row in ledger.rejected if row["reason"] == reason)
    answer = record.get("answer")
    example = f", for example {answer[:200]!r}" if answer else f", first at id {record['id']}"
    return (
        f"{options.input}: {bad} of {ledger.seen} records failed, most of them ({count}) with: "
        f"{reason}{example}; accepted is a share of {options.max_bad_share:g} (--max-bad-share); "
        f"all of them are in {ledger_path(options.output)}"
        + (f"; {ledger.remedy}" if ledger.remedy else "")
    )
