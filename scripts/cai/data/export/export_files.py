"""Write the run's datasets as Parquet, for TRL, OpenRLHF, NeMo-RL and all that reads messages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow
import pyarrow.parquet

from cai.data.comparisons import PreferenceFiles
from cai.data.export.export_rows import preference_rows, prompt_rows, sft_rows
from cai.data.rl_dataset import verdicts
from cai.data.splits import PARTS
from cai.files.records import Ledger, Row, atomic, read_jsonl
from cai.models.templates import Template

GROUP = 4096  # rows that are held in memory, and in a row group of the file

TEXT = pyarrow.string()
MESSAGES = pyarrow.list_(pyarrow.struct([("role", TEXT), ("content", TEXT)]))
SCHEMAS = {
    "sft": pyarrow.schema([("id", TEXT), ("dataset", TEXT), ("messages", MESSAGES)]),
    "preferences": pyarrow.schema(
        [
            ("id", TEXT),
            ("dataset", TEXT),
            *((name, MESSAGES) for name in ("prompt", "chosen", "rejected")),
            ("chosen_response", TEXT),
            ("rejected_response", TEXT),
            ("probability", pyarrow.float64()),
            ("principle", TEXT),
        ]
    ),
    "prompts": pyarrow.schema([("id", TEXT), ("dataset", TEXT), ("prompt", MESSAGES)]),
}


@dataclass(frozen=True)
class Sources:
    """The files that are exported: those of SFT, of the RL stage, and what the judge said."""

    sft_train: Path
    sft_validation: Path
    rl: PreferenceFiles
    preferences: Sequence[Path]


def export(sources: Sources, folder: Path, template: Template) -> list[Ledger]:
    """Write ``{sft,preferences,prompts}/{part}.parquet`` into a folder, and a ledger for each.

    A ledger's notes have the rows of each part.

    Args:
        sources: the files that the run trains on.
        folder: where the datasets go.
        template: in whose form the texts of the RL stage are.
    """
    judged = verdicts(sources.preferences, template)
    red_team = {row["id"] for path in sources.preferences for row in read_jsonl(path)}
    sft, preferences, prompts = (Ledger(name) for name in SCHEMAS)
    for part, path in (("train", sources.sft_train), ("validation", sources.sft_validation)):
        _write(folder, part, sft, sft_rows(path, sft))
    for part in PARTS:
        comparisons, asked = sources.rl.comparisons(part), sources.rl.prompts(part)
        rows = preference_rows(comparisons, judged, template, preferences)
        _write(folder, part, preferences, rows)
        _write(folder, part, prompts, prompt_rows(asked, red_team, template, prompts))
    ledgers = [sft, preferences, prompts]
    for ledger in ledgers:
        ledger.write(folder / ledger.step)
    return ledgers


def _write(folder: Path, part: str, ledger: Ledger, rows: Iterable[Row]) -> None:
    """Write one part of the dataset that the ledger is of."""
    name, before = ledger.step, ledger.out
    path = folder / name / f"{part}.parquet"
    with (
        atomic(path, "wb") as stream,
        pyarrow.parquet.ParquetWriter(stream, SCHEMAS[name]) as writer,
    ):
        kept = ledger.kept(rows)
        while some := list(islice(kept, GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(some, SCHEMAS[name]))
    ledger.notes[part] = ledger.out - before
