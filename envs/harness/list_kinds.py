"""Print what lm-evaluation-harness knows of some tasks: the output types of each, as JSON.

A group or a tag has those of its tasks; null stands for what it does not know.

list_kinds.py FOLDER NAME...      FOLDER with further tasks, or the empty text
"""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

from lm_eval.tasks import TaskManager

EXACT = "exact_match"


def main() -> None:
    """Read the command line, print."""
    folder, *names = sys.argv[1:]
    logging.disable()
    index = TaskManager(include_path=folder or None).task_index
    found = {n: sorted(set(kinds(n, index))) if n in index else None for n in names}
    print(json.dumps(found))


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
