"""Whether a run fits the GPUs that a profile gives: reported before a job waits for them."""

from collections.abc import Iterator

from cai.checks import arithmetic, lengths, memory
from cai.checks.stage_sizes import (
    BATCHES,
    CONTEXT,
    EXPERT,
    PARALLEL,
    SERVERS,
    Launches,
    Sizing,
    sizings,
)
from cai.core.errors import UserError
from cai.models.shape import ModelShape, differences
from cai.nemo.values import Program
from cai.settings.configuration import Settings
from cai.settings.found_shape import shape_in_files


def problems(settings: Settings, launches: Launches) -> list[str]:
    """What cannot work, a line for each thing: field or resource, found, accepted.

    Args:
        settings: of the run.
        launches: how each stage is started, by rule; PPO's parts as ``critic`` and ``actor``. What
            is not in it, such as the judge's servers when another judge is asked, is not checked.
    """
    found = sizings(settings, launches)
    by_program = {sizing.program: sizing for sizing in found}
    shapes, lines = shapes_of(settings)
    lines += [
        *lengths.template_problems(settings),
        *lengths.answer_problems(settings),
    ]
    unreadable = {sizing.program: list(_unreadable(sizing)) for sizing in found}
    for complaints in unreadable.values():
        lines += complaints
    for sizing in (sizing for sizing in found if not unreadable[sizing.program]):
        lines += [
            *arithmetic.rank_problems(sizing),
            *arithmetic.option_problems(sizing),
            *arithmetic.batch_problems(settings, sizing, launches),
        ]
        if shape := shapes[sizing.model]:
            lines += arithmetic.shape_problems(sizing, shape)
    lines += [
        line
        for (stage, _), (sizing, estimate) in _estimates(settings, launches).items()
        if not memory.fits(estimate)
        if (line := memory.problem(estimate, sizing, _larger(settings, launches, sizing, stage)))
    ]
    for name, shape in shapes.items():
        lines += lengths.context_problems(settings, name, shape) if shape else []
    if not any(unreadable.values()):
        lines += lengths.override_problems(settings, by_program)
    return list(dict.fromkeys(lines))


def _larger(settings: Settings, launches: Launches, sizing: Sizing, stage: str) -> int | None:
    """The least tensor parallel size with which a stage fits its GPUs, if any does."""
    shape = shapes_of(settings)[0][sizing.model]
    if shape is None:
        return None
    for size in range(sizing.tensor + 1, sizing.launch.devices + 1):
        changed = sizing.with_tensor(size)
        wrong = [
            *arithmetic.rank_problems(changed),
            *arithmetic.shape_problems(changed, shape),
            *arithmetic.batch_problems(settings, changed, launches),
        ]
        if not wrong and memory.fits(memory.estimate(settings, changed, shape, stage)):
            return size
    return None


def warnings(settings: Settings, launches: Launches) -> list[str]:
    """What works, but wastes something or could not be checked; a line each."""
    found = sizings(settings, launches)
    lines = []
    for name, shape in shapes_of(settings)[0].items():
        if shape is None:
            lines.append(
                f"models.{name}: its sizes are not known before it is here, so divisions and "
                f"memory are not checked: give models.{name}.shape"
            )
    for sizing in found:
        lines += arithmetic.spread_warnings(sizing)
        lines += arithmetic.schedule_warnings(sizing)
    lines += arithmetic.critic_warnings(found)
    for (stage, _), (sizing, estimate) in _estimates(settings, launches).items():
        lines += memory.warning(estimate, sizing, stage)
    return lines


def table(settings: Settings, launches: Launches) -> str:
    """What each stage gets and takes, a row each, for a dry run."""
    estimates = _estimates(settings, launches)
    rows = [["stage", "GPUs", "tensor", "pipeline", "data", "batch", "GB a GPU"]]
    for sizing in sizings(settings, launches):
        for stage in sizing.stages:
            found = estimates.get((stage, sizing.program))
            needs = f"{memory.gigabytes(found[1].total)} of " if found else ""
            size = f"{needs}{sizing.launch.gpu_memory}" if sizing.launch.gres else "-"
            sizes = (sizing.launch.gpus, sizing.tensor, sizing.pipeline, sizing.data)
            rows.append([stage, *map(str, sizes), _batch(settings, sizing), size])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in dict.fromkeys(map(tuple, rows))
    )


def _batch(settings: Settings, sizing: Sizing) -> str:
    """Micro and global batch; of a server, the prompts of a request."""
    if sizing.program in SERVERS:
        return str(settings.client.batch_size)
    if sizing.program == "reward_server":
        return str(sizing.size("model.forward_micro_batch_size"))
    part = "model.data.train_ds." if sizing.program == "sft" else "model."
    sizes = [sizing.size(f"{part}{key}_batch_size") for key in ("micro", "global")]
    rollouts = "model.ppo.num_rollout_samples"
    more = [sizing.size(rollouts)] if sizing.program == "actor" else []
    return " / ".join(map(str, [*sizes, *more]))


def _estimates(
    settings: Settings, launches: Launches
) -> dict[tuple[str, Program], tuple[Sizing, memory.MemoryNeed]]:
    """The memory of each stage that has GPUs and sizes that are known and fit."""
    shapes, _ = shapes_of(settings)
    return {
        (stage, sizing.program): (sizing, memory.estimate(settings, sizing, shape, stage))
        for sizing in sizings(settings, launches)
        if sizing.launch.gres and (shape := shapes[sizing.model])
        if not any(_unreadable(sizing)) and not any(arithmetic.rank_problems(sizing))
        for stage in sizing.stages
    }


def shapes_of(settings: Settings) -> tuple[dict[str, ModelShape | None], list[str]]:
    """The shapes of both models, None if unknown; and what is wrong with those configured."""
    shapes: dict[str, ModelShape | None] = {}
    lines: list[str] = []
    for name in ("base", "instruct"):
        model = getattr(settings.models, name)
        shapes[name] = model.shape
        try:
            found = shape_in_files(model, name, settings.results)
        except UserError as error:
            lines.append(str(error))
            continue
        if found:
            shapes[name], path = found
            wrong = differences(found[0], model.shape) if model.shape else []
            lines += [
                f"models.{name}.shape.{field}: found {given}; {path} has {true}"
                for field, true, given in wrong
            ]
    return shapes, lines


def _unreadable(sizing: Sizing) -> Iterator[str]:
    """Values that should be whole numbers above 0, and are not."""
    for key in BATCHES[sizing.program]:
        if sizing.values.whole(key) is None:
            found = sizing.values.get(key)
            yield sizing.line(key, repr(found), "a whole number above 0")
    for key in (sizing.prefix + name for name in (*PARALLEL, CONTEXT, EXPERT)):
        found = sizing.values.get(key)
        if found is not None and sizing.values.whole(key) is None:
            yield sizing.line(key, repr(found), "a whole number above 0")
