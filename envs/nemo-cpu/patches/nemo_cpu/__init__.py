"""Patches that let nemo_toolkit 2.1.0, nemo-aligner 0.7.0 and megatron-core 0.10.0 run on a CPU.

No library is edited. Each patch waits until the module that it concerns is imported and changes it
then (`nemo_cpu.import_hooks`), so a program that never imports torch pays nothing. README.md beside
this folder lists every patch, with the reason for it.
"""

import gc
import os

# Objects between two collections of garbage. What is imported is never garbage, and with Python's
# 700 looking for some is a seventh of a start.
COLLECTED_EVERY = (50_000, 20, 100)


def install() -> None:
    """Registers every patch. Called once, by sitecustomize, before any other import."""
    from nemo_cpu import import_hooks

    import_hooks.install()
    # Importing these modules registers their patches; none of them imports torch by itself.
    from nemo_cpu import (  # noqa: F401
        apex,
        checkpoints,
        cuda,
        distributed,
        lazy_imports,
        megatron,
        optimizer,
        server,
        transformer_engine,
    )

    gc.set_threshold(*COLLECTED_EVERY)
    # MegatronBaseModel parses the version of NVIDIA's container from here and fails without one.
    os.environ.setdefault("NVIDIA_PYTORCH_VERSION", "24.07")
