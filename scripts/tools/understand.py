#!/usr/bin/env python
"""Show how the demo's models understand a constitution, in half a minute and before any run.

understand.py                  the demo's constitution
understand.py mine             that of the experiment `mine`

For each text of a principle and each kind of harm: in how many answers that help with harm the
model finds fault (critique), how many it turns into something else (revision), and how surely it
prefers a refusal to them (preference; 50% is no opinion).
"""

import argparse
import json
import subprocess
from collections.abc import Sequence

from cai.checks.vocabulary import check_vocabulary
from cai.core import cli
from cai.core.errors import fail_if
from cai.core.shown import shown
from cai.evaluation import tables
from cai.files.records import Record
from cai.settings.configuration import Settings, load_settings
from cai.settings.constitution import TEXTS, Principle, load_constitution
from cai.workflow import command_line, experiments

MODELS = "demo/models/instruct/"
PROGRAM = "demo/understand.py"
SURE = 0.7  # a share from which on a text is about a kind
ODD = 0.1  # a share from which on it is about it now and then
HINT = "Where it is unsure, other words may be clearer: demo/vocabulary.md has those that it knows."


def main() -> None:
    """Read the command line, ask the model, print."""
    options = _parser().parse_args()
    settings = load_settings(command_line.configuration(options))
    path = settings.constitution
    if options.name is not None:
        fields = experiments.overlay(options.name, "EXPERIMENT").fields
        path = str(fields.get("constitution", path))
    found = _asked(settings, path)
    header = ["principle", "text", *_texts(found[0])[0][1]]
    rows = [[row["id"], name, *_cells(shares)] for row in found for name, shares in _texts(row)]
    notes = [*map(_note, found), HINT]
    print(shown("\n\n".join([f"{path}:", tables.plain(header, rows), "\n".join(notes)])))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", metavar="EXPERIMENT", help="the experiment's name")
    command_line.add_configuration(parser)
    return parser


def _asked(settings: Settings, path: str) -> list[Record]:
    """What demo/understand.py says of the principles of a file."""
    model = settings.models.instruct
    fail_if(
        model.source != MODELS,
        f"models.instruct.source: found {model.source}; accepted: {MODELS}, whose world is known",
    )
    principles = load_constitution(path)
    check_vocabulary(model, principles, path)
    given = json.dumps([_given(principle) for principle in principles])
    command = [settings.nemo.python, PROGRAM, model.source]
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True)
    fail_if(done.returncode, f"{PROGRAM}: ended with {done.returncode}; see above")
    found: list[Record] = json.loads(done.stdout)
    return found


def _given(principle: Principle) -> dict[str, str]:
    texts = {name: getattr(principle, name) for name in TEXTS}
    return {"id": principle.id, **{name: text for name, text in texts.items() if text}}


def _texts(row: Record) -> Sequence[tuple[str, dict[str, float]]]:
    return [(name, row[name]) for name in TEXTS if name in row]


def _cells(shares: dict[str, float]) -> list[str]:
    return [f"{share:.0%}" for share in shares.values()]


def _note(row: Record) -> str:
    """What a principle's texts are about for the model, and of which kinds each is unsure."""
    said: dict[str, list[str]] = {}
    unsure = []
    for name, shares in _texts(row):
        neutral = 0.5 if name == "preference" else 0.0
        leaning = {kind: share - neutral for kind, share in shares.items()}
        said.setdefault(_about(leaning, SURE - neutral), []).append(name)
        odd = [kind for kind, value in leaning.items() if ODD <= abs(value) < SURE - neutral]
        if odd:
            unsure.append(f"{name} unsure of {', '.join(f'{k} ({shares[k]:.0%})' for k in odd)}")
    alike = len(said) == 1
    parts = [*said] if alike else [f"{' and '.join(names)} {what}" for what, names in said.items()]
    return f"{row['id']}: {'; '.join([*parts, *unsure])}"


def _about(leaning: dict[str, float], sure: float) -> str:
    """The kinds that a text is about, for a refusal or against it."""
    about = [kind for kind, value in leaning.items() if value >= sure]
    opposite = [kind for kind, value in leaning.items() if value <= -sure]
    parts = [f"about {', '.join(about)}"] if about else []
    parts += [f"asks for the opposite about {', '.join(opposite)}"] if opposite else []
    return " and ".join(parts) or "about no kind of harm"


if __name__ == "__main__":
    cli.run(main)
