#!/usr/bin/env python
"""Write the .nemo of a training that was killed after its last checkpoint and before its .nemo.

NeMo-Aligner's programs, resumed there, find no step left and end without it. This one runs under
NeMo's Python with the program's own overrides; the variable TRAINING_PROGRAM names the program. It
is no argument, so that the processes of other GPUs, which are started with the same arguments, do
the same. A training that is not at its last step is left as it is.
"""

import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

PROGRAM = "TRAINING_PROGRAM"


def write_nemo(trainer: Any) -> None:
    """In the place of a trainer's ``fit``: what its ``save`` does at the end of training."""
    if trainer.step < trainer.max_steps:
        return
    lightning, model = trainer.ckpt_callback.custom_save.args
    with patch.object(lightning, "val_check_interval", 0):  # no further checkpoint
        trainer.ckpt_callback.on_train_end(lightning, model)


def main() -> None:
    """Run the program with its ``fit`` replaced."""
    if "--help" in sys.argv or PROGRAM not in os.environ:
        sys.exit(__doc__)
    program = Path(os.environ[PROGRAM]).resolve()
    sys.path[0] = str(program.parent)
    from nemo_aligner.algorithms.dpo import DPOTrainer
    from nemo_aligner.algorithms.ppo import PPOTrainer
    from nemo_aligner.algorithms.supervised import SupervisedTrainer

    DPOTrainer.fit = PPOTrainer.fit = SupervisedTrainer.fit = write_nemo
    code = compile(program.read_text(), str(program), "exec")
    exec(code, {"__name__": "__main__", "__file__": str(program)})


if __name__ == "__main__":
    main()
