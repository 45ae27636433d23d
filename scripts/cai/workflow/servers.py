"""The model servers of a run, by the configured kind: commands, and what they need.

The rules of generation are the same for every kind; what differs is here.
"""

from pathlib import Path
from typing import Literal

from cai.nemo import programs
from cai.settings.configuration import Settings
from cai.settings.model_servers import MODEL

Kind = Literal["instruct", "chat"]


def command(settings: Settings, model: Kind) -> list[str]:
    """The command that serves a model; the word MODEL in it stands for the checkpoint or folder."""
    if settings.server.kind == "openai":
        return settings.server.command
    return [*programs.server(settings, model), f"gpt_model_file={MODEL}"]


def exported(settings: Settings, model: str) -> list[str]:
    """What a server needs beside a ``.nemo`` file: the mark of its Hugging Face folder."""
    return [mark(model)] if settings.server.kind == "openai" else []


def judge_exported(settings: Settings, model: str) -> list[str]:
    """As :func:`exported`, of the model that judges, if one is served."""
    return exported(settings, model) if settings.preferences.judge == "logprob" else []


def mark(model: str) -> str:
    """The small file that guards the Hugging Face folder of a ``.nemo`` file, its sibling."""
    path = Path(model)
    place = path.parent.parent if path.parent.name == "models" else path.parent
    return str(place / "hf" / f"{path.stem}.json")
