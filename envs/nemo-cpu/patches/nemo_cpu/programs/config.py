"""Reads a program's configuration as `nemo.core.config.hydra_runner` does, before NeMo is imported.

A mistyped override is refused at once, not after the seconds that it takes to import NeMo.
"""

import atexit
import functools
import os
import sys
import threading
from collections.abc import Callable

import hydra
from omegaconf import DictConfig, OmegaConf

# As hydra_runner: no .hydra folder, log to stdout, stay in the working directory.
HYDRA = ["hydra.output_subdir=null", "hydra/job_logging=stdout", "hydra.run.dir=."]

RESOLVERS = {
    "multiply": lambda x, y: x * y,
    "int_div": lambda x, y: x // y,
    "subtract": lambda x, y: x - y,
    "sum": lambda x, y: x + y,
}


def entry_point(config_name: str) -> Callable:
    """Decorator for `main(cfg)`: composes `conf/<config_name>.yaml` beside the program with the
    overrides of the command line. Hydra ends the program with status 1 if one is unknown."""

    def decorate(main: Callable[[DictConfig], None]) -> Callable[[], None]:
        run = hydra.main(version_base=None, config_path="conf", config_name=config_name)(main)

        @functools.wraps(main)
        def program() -> None:
            for name, function in RESOLVERS.items():
                OmegaConf.register_new_resolver(name, function, replace=True)
            sys.argv += HYDRA
            run()
            _leave()

        return program

    return decorate


def _leave() -> None:
    """Ends the process without taking thousands of modules apart, which takes Python a second."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def refuse(condition: bool, message: str) -> None:
    """Ends the program with one line if the condition holds."""
    if condition:
        sys.exit(f"error: {message}")


def require_processes(trainer: DictConfig, model: DictConfig | None = None) -> int:
    """Refuses a device that is no CPU, other processes than those which are started, and ways to
    split a model that were never tried on a CPU. `model` holds the sizes of the split, if any are
    given. Returns how many processes share the batches, the data-parallel size.

    Without `srun`, Lightning starts the other processes of this node itself, but none elsewhere.
    """
    refuse(
        trainer.accelerator != "cpu",
        f"trainer.accelerator={trainer.accelerator}: on a CPU it must be cpu",
    )
    for name in ("devices", "num_nodes"):
        count = trainer[name]
        refuse(
            not isinstance(count, int) or count < 1,
            f"trainer.{name}={count}: on a CPU it must be a number from 1 on",
        )
    devices, nodes = trainer.devices, trainer.num_nodes
    processes = devices * nodes
    if _started_by_srun():
        started = int(os.environ["SLURM_NTASKS"])
        on_each = int(os.environ.get("SLURM_NTASKS_PER_NODE", devices))
        refuse(
            devices != on_each or processes != started,
            f"trainer.devices={devices} trainer.num_nodes={nodes}: must be {on_each} and "
            f"{started // on_each}, as srun starts {started} processes, {on_each} on each node",
        )
    else:
        refuse(nodes > 1, f"trainer.num_nodes={nodes}: without srun it must be 1")
    for name in ("pipeline_model_parallel_size", "context_parallel_size"):
        size = _size(model, name)
        refuse(size != 1, f"{name}={size}: on a CPU it must be 1")
    split = _size(model, "tensor_model_parallel_size")
    refuse(
        processes % split != 0,
        f"tensor_model_parallel_size={split}: must divide the number of processes, {processes}",
    )
    return processes // split


def require_batches(cfg: DictConfig, sharing: int, batches: dict[str, str]) -> None:
    """Refuses batches that cannot be dealt out in whole micro batches to the processes that share
    them. `batches` names the field of a batch's size and beside it that of its micro batch's."""
    for field, part in batches.items():
        whole, micro = OmegaConf.select(cfg, field), OmegaConf.select(cfg, part)
        refuse(
            whole % (micro * sharing) != 0,
            f"{field}={whole}: must be a multiple of {micro * sharing}, which is {part}={micro} "
            f"for each of {sharing} processes",
        )


def _size(model: DictConfig | None, name: str) -> int:
    """A size of the split; 1 where none is given or the checkpoint's is asked for (-1)."""
    size = model.get(name) if model is not None else None
    return 1 if size in (None, -1) else size


def _started_by_srun() -> bool:
    """Whether Slurm started the processes. Lightning decides in the same way."""
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return "SLURM_NTASKS" in os.environ and not interactive
