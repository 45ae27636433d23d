"""What an edit changed: the run that was kept before it, beside the one that is reported."""

from datetime import datetime
from pathlib import Path

from cai.core.errors import UserError
from cai.files.records import Record, read_json, write_text
from cai.report import before, comparison, comparison_page, run_cost

NAMES = ("before", "now")
TOLD = ("headline", "principles", "settings", "models", "metrics", "level", "notes")


def since(folder: Path, results: Path, report: Record, seed: int) -> Record | None:
    """Compare the run that was kept with the one that is there now, as data for its report.

    The whole comparison is written beside what was kept, as a page.

    Args:
        folder: where the run before was kept.
        results: of the run that is there now.
        report: its report's data.
        seed: of the bootstrap and of the tests.

    Returns:
        :data:`TOLD` of :func:`cai.report.comparison.compare`, with ``report`` and ``page``, the
        paths of the kept report and of the comparison from the results; None if no run was kept,
        or nothing differs between the two, or they cannot be compared.
    """
    if not (folder / before.REPORT).is_file():
        return None
    took = run_cost.took(results, datetime.fromisoformat(read_json(folder / before.KEPT)["kept"]))
    now = comparison.run_of(NAMES[1], results, report, took)
    try:
        compared = comparison.compare(comparison.read_run(NAMES[0], folder), now, seed)
    except UserError:  # other prompts, or files of which some are missing
        return None
    edited = [row for row in compared["principles"] if row["change"] != "same"]
    if not edited and not compared["settings"]:
        return None
    page = folder / "comparison.html"
    write_text(page, comparison_page.render(compared, None))
    paths = {"report": folder / before.PAGE, "page": page}
    return {
        **{name: compared[name] for name in TOLD},
        **{name: path.relative_to(results).as_posix() for name, path in paths.items()},
    }
