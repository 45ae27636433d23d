"""Lineages and their differences as text."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cai.core.changes import Change, word_diff
from cai.lineage.difference import Difference
from cai.lineage.trace import Lineage, Node

WORDS = 8  # of a principle that are shown
DIGITS = 12  # of a digest
UNNUMBERED = "a version before 0.4.0"  # whose manifests do not say which


def tree(lineage: Lineage) -> str:
    """The lineage as a tree, the artefact first; what a file shares with another is shown once."""
    lines = [*_node(lineage, [lineage.path], set())]
    costs = [f"{step} {hours:g}" for step, hours in lineage.gpu_hours.items() if hours]
    total = sum(lineage.gpu_hours.values())
    lines += ["", f"GPU-hours: {total:g}{' = ' + ' + '.join(costs) if costs else ''}"]
    lines.append(f"Made by {_versions(lineage.versions)}")
    if lineage.broken:
        places = "1 place" if len(lineage.broken) == 1 else f"{len(lineage.broken)} places"
        lines += ["", f"The chain is broken in {places}:"]
        lines += [f"  {line}" for line in lineage.broken]
    return "\n".join(lines)


def _versions(versions: dict[str, list[str]]) -> str:
    """One version in a word; of several the steps that each has made."""
    named = {
        f"version {version}" if version else UNNUMBERED: steps
        for version, steps in versions.items()
    }
    if len(named) == 1:
        return next(iter(named))
    return "; ".join(f"{name}: {', '.join(steps)}" for name, steps in named.items())


def _node(lineage: Lineage, paths: Sequence[str], shown: set[str]) -> Iterator[str]:
    """The lines of a file, or of several of one step, of which the first stands for all."""
    nodes = [lineage.nodes[path] for path in paths]
    path, node = paths[0], nodes[0]
    name = lineage.name(path)
    if len(paths) > 1:
        stems = [Path(each).stem for each in paths]
        name = f"{Path(name).parent}/{{{','.join(stems)}}}{Path(name).suffix}"
    if path in shown and node.inputs:
        yield f"{name}  (above)"
        return
    shown.update(paths)
    yield f"{name}  {_facts(nodes)}"
    yield from (f"  ! {line}" for each in nodes for line in each.broken)
    yield from (f"    {line}" for line in _details(node))
    groups: dict[tuple[Any, ...], list[str]] = {}
    for each in sorted(node.inputs):
        groups.setdefault(_group(lineage.nodes[each]), []).append(each)
    for number, group in enumerate(groups.values(), 1):
        last = number == len(groups)
        first, *rest = _node(lineage, group, shown)
        yield f"{'└─' if last else '├─'} {first}"
        yield from (f"{'  ' if last else '│ '} {line}" for line in rest)


def _group(node: Node) -> tuple[Any, ...]:
    """What shards of one step have in common, and what one job has made; else the path itself."""
    path = Path(node.path)
    if not node.manifest or path.suffix != ".jsonl":
        return (node.path,)
    return (path.parent, *(() if path.stem.isdecimal() else node.job))


def _facts(nodes: Sequence[Node]) -> str:
    """One line: content, step, counts, when, cost."""
    node, facts = nodes[0], nodes[0].facts
    if not facts:
        return (node.digest or "")[:DIGITS]
    parts = [(node.digest or "")[:DIGITS]] if len(nodes) == 1 else []
    parts.append(str(facts.get("what")))
    jobs = {each.job: each.facts for each in nodes}.values()
    ledgers = [job["ledger"] for job in jobs if job.get("ledger")]
    if ledgers:
        came, went = (sum(ledger[key] for ledger in ledgers) for key in ("in", "out"))
        parts.append(f"{came} in, {went} out")
    parts.append(f"{round(sum(job.get('seconds') or 0 for job in jobs), 1):g} s")
    if hours := sum(job.get("gpu_hours") or 0 for job in jobs):
        parts.append(f"{hours:g} GPU-hours")
    parts.append(str(facts.get("written", ""))[:16])
    return ", ".join(parts)


def _details(node: Node) -> Iterator[str]:
    facts = node.facts
    for source in facts.get("sources", []):
        revision = f" @ {source['revision']}" if source.get("revision") else ""
        folder = f"/{source['data_dir']}" if source.get("data_dir") else ""
        yield f"dataset {source['source']}{folder}{revision}, {source['split']}"
    if model := facts.get("model"):
        revision = f" @ {model['revision']}" if model.get("revision") else ""
        yield f"model {model.get('source') or 'of unknown origin'}{revision}"
    if merged := facts.get("merged"):
        adapters = merged["adapters"][:DIGITS]
        yield f"LoRA's adapters {adapters}, merged into {merged['base']}"
    for name, principle in facts.get("principles", {}).items():
        text = principle.get("preference") or principle.get("critique") or principle["revision"]
        words = text.split()
        more = " ..." if len(words) > WORDS else ""
        yield f"principle {name} {principle.get('digest', '')}: {' '.join(words[:WORDS])}{more}"
    for adopted in facts.get("adopted", []):
        yield f"adopted {adopted['when'][:16]} by {adopted['who']}: {adopted['why']}"
        yield from (f"  {reason}" for reason in adopted["reasons"])


SECTIONS = ("principles", "settings", "files and models", "code and software")
FILES = 3  # that are named behind a difference


def differences(found: Difference) -> str:
    """What differs: the principles first, then settings, the rest, and code and software.

    A difference that several files share is shown once, with their names.
    """
    if not found.files:
        return "equal: made of the same, in the same way" + (
            "" if found.same_content else "; yet their contents differ"
        )
    sections: dict[str, dict[str, list[str]]] = {name: {} for name in SECTIONS}
    for name, changes in found.files.items():
        for change in changes:
            line = _change(change)
            sections[_section(change)].setdefault(line, []).append(name)
    lines = []
    for title, shared in sections.items():
        own = [f"  {line}  ({_files(names)})" for line, names in shared.items()]
        lines += [f"{title}:", *own] if own else []
    content = "The artefacts have the same content." if found.same_content else ""
    return "\n".join([*lines, *([content] if content else [])])


def _section(change: Change) -> str:
    kind = change.path[0]
    if any(key.startswith("principle ") for key in change.path):
        return "principles"
    if kind == "settings":
        return "settings"
    return "code and software" if kind in ("code", "software") else "files and models"


def _files(names: Sequence[str]) -> str:
    more = len(names) - FILES
    return ", ".join(names[:FILES]) + (f" and {more} more" if more > 0 else "")


def _short(change: Change) -> str:
    """A change with the first digits of digests."""
    is_digest = change.path == ("content",) or change.path[0] == "code"
    shown = [str(each)[:DIGITS] if is_digest else each for each in (change.before, change.now)]
    return str(change._replace(before=shown[0], now=shown[1]))


def _change(change: Change) -> str:
    edited = isinstance(change.before, str) and isinstance(change.now, str)
    if change.path[0] == "file":
        return f"only in the {'second' if isinstance(change.now, str) else 'first'}"
    if change.path[0].startswith("principle ") and edited:
        return f"{change.path[0]}: {change.path[1]}: {word_diff(change.before, change.now)}"
    if change.path[0] == "settings":
        return str(change._replace(path=change.path[1:]))
    return _short(change)


def record(steps: Sequence[dict[str, Any]]) -> str:
    """A record's way, from the artefact back to where its prompt came from."""
    lines = []
    for step in steps:
        lines.append(f"{step['step']}  {step['where']}")
        for name, text in step["shown"]:
            first, *rest = str(text).splitlines() or [""]
            lines.append(f"    {name}: {first}")
            lines += [f"        {line}" for line in rest]
    return "\n".join(lines)
