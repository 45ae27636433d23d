"""What a job will take: as measured in earlier runs, else by stated formulas.

The measurements are those of earlier jobs of the same stage on as many GPUs: for asking, the
seconds an answer and the start of the server (``*.cost.json`` beside the journals); for trainings,
the last manifest; for other jobs, Snakemake's benchmark. The formulas for the others are those of
docs/costs.md; their numbers are in the configuration, under ``estimates``, with what it says of
jobs that have no formula. The rest is unknown, which is not zero.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from cai.asking.journal.entries import family
from cai.asking.run import cost_path
from cai.checks.amounts import Sizes
from cai.checks.lora import trains_adapters
from cai.checks.rule_kinds import kind_of
from cai.nemo.keys import TRT_LLM
from cai.nemo.values import Program, Values
from cai.plan.rehearsal import Count
from cai.provenance.manifest import Manifest, manifest_path, read_manifest
from cai.running.attempts import Entry, read_entries
from cai.running.launch import launch_of
from cai.settings.configuration import Settings
from cai.workflow.dag import PlannedJob

Source = Literal["measured", "estimated", "unknown"]
RECOMPUTED = 4 / 3  # the forward pass a second time, with full activation checkpointing


class Cost(NamedTuple):
    """What a job takes, and how that is known.

    Attributes:
        how: what an estimate comes from, and the settings that decide it, where that is worth a
            line.
    """

    seconds: float = 0.0
    gpus: int = 0
    source: Source = "unknown"
    how: str = ""

    @property
    def gpu_hours(self) -> float:
        """GPU-hours."""
        return self.seconds * self.gpus / 3600


LORA = "adapters are trained (LoRA) and at the end merged into the model"


class Costs:
    """The costs of planned jobs."""

    def __init__(self, settings: Settings, sizes: Sizes) -> None:
        self._settings, self._sizes = settings, sizes
        self._rates: dict[tuple[str, int], _Rate | None] = {}

    def of(self, job: PlannedJob, count: Count | None) -> Cost:
        """What a job takes; ``count``: the questions of one that asks."""
        gpus = launch_of(job.resources, job.rule).gpus
        if count is not None:
            return self._asking(job, count, gpus)
        if kind_of(job.rule).what in ("training", "ppo"):
            return self._training(job, gpus)
        return _benchmarked(job, gpus) or self._stated(job, gpus)

    def _stated(self, job: PlannedJob, gpus: int) -> Cost:
        """What the configuration says of a rule's jobs, if it does."""
        stated = self._settings.estimates.jobs
        seconds = stated.get(job.rule, stated.get(kind_of(job.rule).like or ""))
        return Cost(gpus=gpus) if seconds is None else Cost(seconds, gpus, "estimated")

    def _asking(self, job: PlannedJob, count: Count, gpus: int) -> Cost:
        rate = self._rate(job, gpus)
        if rate is not None and not count.new:
            return Cost(rate.idle, gpus, "measured")
        if rate is not None and rate.seconds is not None:
            return Cost(rate.start + count.new * rate.seconds, gpus, "measured")
        if not count.new:
            return Cost(0.0, gpus, "estimated")
        if not gpus and self._settings.preferences.judge != "chat":
            return self._stated(job, gpus)  # formulas are of GPUs, and of a judge's service
        return Cost(self._asking_estimate(job, count, gpus), gpus, "estimated")

    def _rate(self, job: PlannedJob, gpus: int) -> "_Rate | None":
        """How fast earlier jobs of the stage were; the same for all its shards."""
        place = (job.rule, gpus)
        if place not in self._rates:
            entries = list(_entries(_journals(job), gpus))
            self._rates[place] = _Rate.of(entries) if entries else None
        return self._rates[place]

    def _asking_estimate(self, job: PlannedJob, count: Count, gpus: int) -> float:
        given, client = self._settings.estimates, self._settings.client
        kind = kind_of(job.rule)
        if kind.what == "judging" and not gpus:
            return count.new * given.judge_seconds / self._judges_in_flight()
        if kind.what == "evaluation":
            tokens = count.new * self._settings.lengths.rl
            return given.server_start + 2 * self._sizes.parameters() * tokens / (
                given.flops * max(gpus, 1)
            )
        if self._settings.server.kind == "openai":
            return given.server_start + count.tokens / given.served_tokens
        return given.server_start + count.tokens / client.batch_size / given.decode_steps

    def _judges_in_flight(self) -> int:
        client = getattr(self._settings.judge, "client", None)
        return client.in_flight if client else 1

    def _training(self, job: PlannedJob, gpus: int) -> Cost:
        cost = self._trained(job, gpus)
        if trains_adapters(Values(self._settings, kind_of(job.rule).programs[-1])):
            return cost._replace(how="; ".join(filter(None, [cost.how, LORA])))
        return cost

    def _trained(self, job: PlannedJob, gpus: int) -> Cost:
        made = job.output[0]
        if manifest_path(made).is_file() and (seconds := _attempted(read_manifest(made), gpus)):
            return Cost(seconds, gpus, "measured")
        if not gpus:
            return self._stated(job, gpus)
        flops = self._settings.estimates.flops * gpus
        program = kind_of(job.rule).programs[-1]
        if program == "actor":
            steps = self._ppo(job, gpus, flops)
            return Cost(steps.seconds, gpus, "estimated", self._explained(steps))
        return Cost(_ESTIMATES[program](self, job, flops), gpus, "estimated")

    def _sft(self, job: PlannedJob, flops: float) -> float:
        tokens = self._records(job, "train.jsonl") * self._settings.estimates.sft_tokens
        epochs = Values(self._settings, "sft").whole("trainer.sft.max_epochs", 1) or 1
        return 6 * self._sizes.parameters() * tokens * epochs / flops

    def _reward_model(self, job: PlannedJob, flops: float) -> float:
        """NeMo pads both texts of a pair to the sequence length."""
        tokens = self._records(job, "train.comparisons.jsonl") * self._settings.lengths.rl
        epochs = Values(self._settings, "reward_model").whole("trainer.rm.max_epochs", 1) or 1
        return 6 * self._sizes.parameters() * tokens * epochs * RECOMPUTED / flops

    def _ppo(self, job: PlannedJob, gpus: int, flops: float) -> "_PpoSteps":
        """Half of the GPUs roll out and train the actor, the others serve and train the critic."""
        values = Values(self._settings, "actor")
        rollouts = values.whole("model.ppo.num_rollout_samples") or 1
        batch = values.whole("model.ppo.rollout_micro_batch_size") or 1
        epochs = values.whole("trainer.ppo.max_epochs", 1) or 1
        steps = -(-self._records(job, "train.prompts.jsonl") * epochs // rollouts)
        batches = -(-rollouts // (batch * max(1, gpus // 2)))
        rolling = batches * self._settings.lengths.answer / self._settings.estimates.decode_steps
        tokens = rollouts * self._settings.lengths.rl
        training = 6 * self._sizes.parameters() * tokens * RECOMPUTED / (flops / 2)
        return _PpoSteps(steps, batches, rolling, training)

    def _explained(self, ppo: "_PpoSteps") -> str:
        """What PPO's bill comes from: steps, rollouts, prompts; with the settings that decide."""
        batch = Values(self._settings, "actor").whole("model.ppo.rollout_micro_batch_size") or 1
        expected = self._sizes.expected
        prompts = expected["rl_cai/train.prompts.jsonl"]
        parts = [
            f"{ppo.steps:,} steps x {ppo.each:,.0f} s",
            f"{ppo.rolling:,.0f} s of it are rollouts, {ppo.batches} batches of {batch} a GPU one "
            f"after another: model.ppo.rollout_micro_batch_size, {TRT_LLM}.enable",
        ]
        if prompts:
            helpful = 1 - expected["data/red_team/train.jsonl"] / prompts
            parts.append(
                f"{helpful:.0%} of its prompts are helpful ones: preferences.helpful_prompt_ratio"
            )
        return "; ".join(parts)

    def _dpo(self, job: PlannedJob, flops: float) -> float:
        """The reference scores both texts of a pair, the policy learns from both."""
        tokens = 2 * self._records(job, "train.jsonl") * self._settings.estimates.dpo_tokens
        values = Values(self._settings, "dpo")
        epochs = values.whole("trainer.dpo.max_epochs", 1) or 1
        full = values.get("model.activations_checkpoint_granularity") == "full"
        passes = 6 * (RECOMPUTED if full else 1) + 2
        return passes * self._sizes.parameters() * tokens * epochs / flops

    def _records(self, job: PlannedJob, name: str) -> int:
        """The records of that one of a job's inputs."""
        return self._sizes.records(next(path for path in job.input if path.endswith(f"/{name}")))


_ESTIMATES: dict[Program, Callable[[Costs, PlannedJob, float], float]] = {
    "sft": Costs._sft,
    "reward_model": Costs._reward_model,
    "dpo": Costs._dpo,
}


class _PpoSteps(NamedTuple):
    """The estimate of PPO.

    Attributes:
        steps: of the whole training.
        batches: that a GPU rolls out in a step, one after another.
        rolling: seconds of a step's rollouts.
        training: seconds of a step's updates.
    """

    steps: int
    batches: int
    rolling: float
    training: float

    @property
    def each(self) -> float:
        """Seconds of a step."""
        return self.rolling + self.training

    @property
    def seconds(self) -> float:
        """Of the whole training."""
        return self.steps * self.each


class _Rate(NamedTuple):
    """How fast the jobs of a stage were.

    Attributes:
        start: seconds without the asking: of the program and of the server.
        seconds: of an answer; None if none was asked for.
        idle: seconds of a job that had nothing to ask.
    """

    start: float
    seconds: float | None
    idle: float

    @classmethod
    def of(cls, entries: list[Entry]) -> "_Rate":
        asked = [entry for entry in entries if entry["new"]]
        idle = [entry["seconds"] for entry in entries if not entry["new"]]
        start = median([entry.get("start_seconds", 0.0) for entry in asked] or [0.0])
        spent = sum(entry["seconds"] - entry.get("start_seconds", 0.0) for entry in asked)
        answers = sum(entry["new"] for entry in asked)
        return cls(start, spent / answers if answers else None, median(idle or [0.0]))


def _journals(job: PlannedJob) -> list[Path]:
    """The job's own journal, and those of other runs that it reads."""
    given = job.params.get("journal", [])
    return [Path(path) for path in ([given] if isinstance(given, str) else given)]


def _entries(journals: Sequence[Path], gpus: int) -> Iterator[Entry]:
    """What the jobs of all shards of a stage took, those on as many GPUs that came to an end."""
    for path in chain.from_iterable(map(family, journals)):
        costs = cost_path(path)
        rows = read_entries(costs)
        yield from (row for row in rows if row["gpus"] == gpus and row["end"] and "new" in row)


def _attempted(manifest: Manifest, gpus: int) -> float:
    """The seconds of a training on so many GPUs, over all its resumptions; 0 if on others."""
    attempts = manifest.get("attempts") or []
    alike = all(attempt["gpus"] == gpus for attempt in attempts)
    return sum(attempt["seconds"] for attempt in attempts) if alike else 0.0


def _benchmarked(job: PlannedJob, gpus: int) -> Cost | None:
    if job.benchmark is None or not Path(job.benchmark).is_file():
        return None
    with open(job.benchmark, newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return Cost(median(float(row["s"]) for row in rows), gpus, "measured") if rows else None
