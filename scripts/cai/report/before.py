"""The run before an edit: its report and its evaluation are kept when a run is to replace them.

They are copied to ``before/`` of the results as a run starts whose settings or principles are not
those of the finished report. An interrupted run loses nothing: as long as the report is the one
that was kept, what lies beside it may be half replaced, and is not copied again.
"""

import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from cai.core.errors import UserError
from cai.files.records import Record, read_json, write_json
from cai.report.changed_settings import counting
from cai.settings.configuration import Settings
from cai.settings.constitution import Principle, load_constitution

FOLDER = "before"  # in the results
REPORT, PAGE, EVALUATION = "report.json", "report.html", "evaluation"
KEPT = "kept.json"  # in the folder: when it was copied


def keep(settings: Settings, outputs: Iterable[str]) -> Path | None:
    """Keep the finished report and its evaluation, if jobs are to replace them after an edit.

    Args:
        settings: of the run that starts.
        outputs: the files that its jobs will make.

    Returns:
        the folder; None if there is nothing to keep, or no edit.

    Raises:
        UserError: there is no room, or no permission, to copy them.
    """
    results = Path(settings.results)
    replaced = any(
        Path(path) == results / REPORT or (results / EVALUATION) in Path(path).parents
        for path in outputs
    )
    finished = _finished(results) if replaced else None
    if finished is None or not _is_edited(finished, settings):
        return None
    folder, report = results / FOLDER, results / REPORT
    kept = folder / REPORT
    if not kept.is_file() or kept.read_bytes() != report.read_bytes():
        try:
            _copy(results, folder)
        except OSError as error:
            raise UserError(
                f"{folder}: the report and the evaluation of the run before cannot be kept: "
                f"{error.strerror}; make room, or move {report} away to begin without them"
            ) from None
    return folder


def _finished(results: Path) -> Record | None:
    """The data of a report that was made of the evaluation that lies beside it."""
    try:
        report: Record = read_json(results / REPORT)
        summary = read_json(results / EVALUATION / "summary.json")
        return report if report.get("summary") == summary else None
    except (UserError, OSError):
        return None


def _is_edited(report: Record, settings: Settings) -> bool:
    """Whether a report is of other principles or settings, in the form that these have now."""
    try:
        known = [Principle.model_validate(each) for each in report["principles"]]
        before = counting(report["settings"])
    except (ValidationError, KeyError):
        return True
    now = load_constitution(settings.constitution)
    return _by_id(known) != _by_id(now) or before != counting(settings.model_dump(mode="json"))


def _by_id(principles: Sequence[Principle]) -> dict[str, Principle]:
    return {principle.id: principle for principle in principles}


def _copy(results: Path, folder: Path) -> None:
    """Copy what is kept; what was kept until now stays until all is there."""
    new, old = (folder.with_name(f".{folder.name}.{word}") for word in ("new", "old"))
    for path in (new, old):
        shutil.rmtree(path, ignore_errors=True)
    new.mkdir()
    shutil.copytree(results / EVALUATION, new / EVALUATION)
    for name in (REPORT, PAGE):
        if (results / name).is_file():
            shutil.copy2(results / name, new / name)
    write_json(new / KEPT, {"kept": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
