"""NeMo's own server of a model, as tests start it on a CPU."""

from pathlib import Path

from tests.project import ROOT

NEMO_CPU = ROOT / "envs/nemo-cpu"
PROGRAM = NEMO_CPU / "opt/NeMo/examples/nlp/language_modeling/megatron_gpt_eval.py"


def nemo_eval(model: Path, precision: str) -> list[str]:
    """The command that serves a ``.nemo`` file in a precision of Lightning's, at a free port."""
    return [
        *(str(NEMO_CPU / "python"), str(PROGRAM), f"gpt_model_file={model}", "server=True"),
        *("port=FREE_PORT", "trainer.accelerator=cpu", "trainer.devices=1"),
        *(f"trainer.precision={precision}", "tensor_model_parallel_size=1"),
        "pipeline_model_parallel_size=1",
    ]
