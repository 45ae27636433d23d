"""Print what lm-evaluation-harness knows of some tasks: the output types of each, as JSON.

A group or a tag has those of its tasks; null stands for what it does not know.

list_kinds.py FOLDER NAME...      FOLDER with further tasks, or the empty text

Exit code 3: a name is unknown, and files of FOLDER cannot be read; the last line names the first.
"""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager

EXACT = "exact_match"
BROKEN = 3


def main() -> None:
    """Read the command line, print."""
    folder, *names = sys.argv[1:]
    skipped = _Skipped()
    logging.lastResort = None  # nothing else that is logged is of interest
    log = logging.getLogger("lm_eval.tasks._index")
    log.setLevel(logging.DEBUG)  # at which the harness says which files it cannot read
    log.propagate = False
    log.addHandler(skipped)
    index = TaskManager(include_path=folder or None).task_index
    found = {n: sorted(set(kinds(n, index))) if n in index else None for n in names}
    own = [line for path, line in skipped.files if folder and path.is_relative_to(folder)]
    if own and None in found.values():
        print(own[0], file=sys.stderr)
        sys.exit(BROKEN)
    print(json.dumps(found))


class _Skipped(logging.Handler):
    """Collects the files that the harness leaves out, each with a line that says why."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[tuple[Path, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is logged of a file that was skipped."""
        if str(record.msg).startswith("Skip") and isinstance(record.args, tuple):
            path, error = record.args
            self.files.append((Path(str(path)), f"{path}: {' '.join(str(error).split())}"))


def kinds(name: str, index: dict[str, Any]) -> Iterator[str]:
    """The output types of a task, or of all tasks of a group or a tag."""
    entry = index[name]
    cfg = entry.cfg or {}
    if entry.kind.name == "TAG":
        for task in entry.tags:
            yield from kinds(task, index)
    elif entry.kind.name == "GROUP":
        yield from _of_members(cfg, index)
    else:
        yield _kind(cfg)


def _kind(cfg: dict[str, Any]) -> str:
    """Its output type; with the metric that needs more than the choices' log-probabilities."""
    kind = cfg.get("output_type", "unknown")
    metrics = {one.get("metric") for one in cfg.get("metric_list") or []}
    return f"{kind} with {EXACT}" if kind == "multiple_choice" and EXACT in metrics else kind


def _of_members(group: dict[str, Any], index: dict[str, Any]) -> Iterator[str]:
    for member in group["task"]:
        own = member if isinstance(member, dict) else {"task": member}
        name = own.get("group") or own["task"]
        if name in index:
            yield from kinds(name, index)
        elif "group" in own:
            yield from _of_members(own, index)
        else:
            yield _kind(own)


if __name__ == "__main__":
    main()
