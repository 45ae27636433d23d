"""What serves the models of a run, by the configured kind: commands, and what they need.

The rules of generation are the same for every kind; what differs is here.
"""

from pathlib import Path
from typing import Literal

from cai import nemo
from cai.generation.settings import MODEL
from cai.settings import Settings

Kind = Literal["instruct", "chat"]


def command(settings: Settings, model: Kind) -> list[str]:
    """The command that serves a model; the word MODEL in it stands for the checkpoint or folder."""
    if settings.server.kind == "openai":
        return settings.server.command
    return [*nemo.server(settings, model), f"gpt_model_file={MODEL}"]


def exported(settings: Settings, name: str, place: str) -> list[str]:
    """What a server needs beside the ``.nemo`` of a model: the mark of its Hugging Face folder.

    ``place`` is the results folder that has the model.
    """
    return [mark(place, name)] if settings.server.kind == "openai" else []


def judge_exported(settings: Settings, place: str) -> list[str]:
    """As :func:`exported`, of the model that judges, if one is served."""
    return exported(settings, "instruct", place) if settings.preferences.judge == "logprob" else []


def mark(place: str, name: str) -> str:
    """The small file that guards the Hugging Face folder of a model, its sibling."""
    return str(Path(place, "hf", f"{name}.json"))
