"""NeMo's programs with the GPUs that a profile gives them, and their sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cai.checks.rule_kinds import PPO, STAGES
from cai.nemo.values import Program, Values
from cai.running.launch import Launch
from cai.settings.configuration import Settings

Launches = Mapping[str, Launch]
SERVERS = ("server", "instruct_server")
BATCHES: dict[Program, tuple[str, ...]] = {  # whole numbers that a program cannot do without
    "sft": (
        "model.data.train_ds.micro_batch_size",
        "model.data.train_ds.global_batch_size",
        "model.data.validation_ds.micro_batch_size",
        "model.data.validation_ds.global_batch_size",
        "model.encoder_seq_length",
        "model.data.train_ds.max_seq_length",
    ),
    "reward_model": (
        "model.micro_batch_size",
        "model.global_batch_size",
        "model.encoder_seq_length",
        "model.data.seq_length",
    ),
    "critic": (
        "model.micro_batch_size",
        "model.global_batch_size",
        "model.forward_micro_batch_size",
        "model.encoder_seq_length",
    ),
    "actor": (
        "model.micro_batch_size",
        "model.global_batch_size",
        "model.ppo.num_rollout_samples",
        "model.ppo.rollout_micro_batch_size",
        "model.ppo.forward_micro_batch_size",
        "model.ppo.num_val_samples",
        "model.ppo.val_rollout_micro_batch_size",
        "model.ppo.length_params.max_length",
        "model.encoder_seq_length",
        "model.data.seq_length",
    ),
    "dpo": (
        "model.micro_batch_size",
        "model.global_batch_size",
        "model.dpo.log_prob_forward_micro_batch_size",
        "model.encoder_seq_length",
        "model.data.seq_length",
    ),
    "reward_server": ("model.forward_micro_batch_size",),
    "server": (),
    "instruct_server": (),
}
PARALLEL = ("tensor_model_parallel_size", "pipeline_model_parallel_size")
EXPERT, CONTEXT = "expert_model_parallel_size", "context_parallel_size"


@dataclass(frozen=True)
class Sizing:
    """One of NeMo's programs with the GPUs that it gets.

    Attributes:
        program: which.
        stages: that run it so.
        launch: its part of a job's nodes.
        values: that it runs with.
    """

    program: Program
    stages: tuple[str, ...]
    launch: Launch
    values: Values

    @cached_property
    def prefix(self) -> str:
        """The prefix of the keys of the model's section."""
        return "" if self.program in SERVERS else "model."

    def size(self, key: str) -> int:
        """A batch or a length; 1 in place of what is no whole number."""
        return self.values.whole(key) or 1

    def parallel(self, key: str) -> int:
        """A size of model parallelism; 1 if not given."""
        return self.values.whole(self.prefix + key, 1) or 1

    @property
    def tensor(self) -> int:
        """Tensor parallel size."""
        return self.parallel("tensor_model_parallel_size")

    @property
    def pipeline(self) -> int:
        """Pipeline parallel size."""
        return self.parallel("pipeline_model_parallel_size")

    @property
    def context(self) -> int:
        """Context parallel size; the server has none."""
        return 1 if self.program in SERVERS else self.parallel(CONTEXT)

    @property
    def model_ranks(self) -> int:
        """GPUs that hold one copy of the model."""
        return self.tensor * self.pipeline * self.context

    @property
    def data(self) -> int:
        """Data parallel size: copies of the model."""
        return max(1, self.launch.ranks // self.model_ranks)

    @property
    def model(self) -> str:
        """Which pretrained model it has the shape of."""
        return "instruct" if self.program == "instruct_server" else "base"

    @property
    def field(self) -> str:
        """The field of the configuration that its values come from."""
        return f"nemo.overrides.{'server' if self.program in SERVERS else self.program}"

    @property
    def place(self) -> str:
        """Where its ranks come from, for a message."""
        rules = [PPO if name in ("critic", "actor") else name for name in self.stages]
        what = "GPUs" if self.launch.gres else "ranks"
        return (
            f"profile: rule {', '.join(rules)}: {self.launch.nodes} x {self.launch.devices} {what}"
        )

    def line(self, key: str, found: Any, accepted: str) -> str:
        """What is wrong with a value, and what would be right."""
        return f"{self.field}: {self.values.settable(key)}: found {found}; accepted: {accepted}"

    def with_tensor(self, size: int) -> "Sizing":
        """The same with another tensor parallel size."""
        key = f"{self.prefix}{PARALLEL[0]}"
        return replace(self, values=self.values.with_value(key, size))


def sizings(settings: Settings, launches: Launches) -> list[Sizing]:
    """Each program with each of the sizes that it is started with, in the order of the workflow.

    A server that is not NeMo's is none of them: it divides the model in its own way.
    """
    others = SERVERS if settings.server.kind != "nemo" else ()
    stages: dict[tuple[Program, str], list[str]] = {}
    for stage in (name for name in STAGES if name in launches):
        for program in (program for program in STAGES[stage] if program not in others):
            stages.setdefault((program, launches[stage].model_dump_json()), []).append(stage)
    return [
        Sizing(program, tuple(names), launch, Values(settings, program, launch))
        for (program, _), names in stages.items()
        for launch in [launches[names[0]]]
    ]
