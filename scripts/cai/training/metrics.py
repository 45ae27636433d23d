"""Training curves, read from NeMo's TensorBoard event files."""

from collections.abc import Mapping
from pathlib import Path

import pandas
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from cai.files.records import write_csv

COLUMNS = ["tag", "step", "value", "time"]


def export_metrics(runs: Mapping[str, Path], target: Path) -> None:
    """Write the scalars of log folders as CSV: tag, step, value, time (Unix seconds).

    ``runs`` maps what is put before a run's tags to its folder.
    """
    rows = [
        [prefix + tag, *rest]
        for prefix, folder in runs.items()
        for tag, *rest in read_metrics(folder).astype(object).values.tolist()
    ]
    write_csv(target, [COLUMNS, *rows])


def read_metrics(folder: Path) -> pandas.DataFrame:
    """All scalars below a log folder; where a resumed run has a tag and step twice, the latest."""
    events = sorted(folder.rglob("events.out.tfevents.*"))
    frame = pandas.DataFrame([row for path in events for row in _scalars(path)], columns=COLUMNS)
    latest = frame.sort_values("time", kind="stable").drop_duplicates(["tag", "step"], keep="last")
    return latest.sort_values(["tag", "step"]).astype({"tag": str})


def _scalars(path: Path) -> list[tuple[str, int, float, float]]:
    events = EventAccumulator(str(path), size_guidance={SCALARS: 0}).Reload()
    return [
        (tag, event.step, event.value, event.wall_time)
        for tag in events.Tags()["scalars"]
        for event in events.Scalars(tag)
    ]
