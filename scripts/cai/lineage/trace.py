"""Where an artefact came from: its manifest, and those of its inputs, down to data and models."""

import itertools
import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cai.core.changes import plain
from cai.core.errors import fail_if
from cai.provenance.manifest import (
    ORIGIN,
    Manifest,
    content_digest,
    identity,
    manifest_path,
    read_manifest,
)

EXPERIMENT = re.compile(r"^experiments/[^/]+/")  # an experiment's folder in the base run's results


@dataclass
class Node:
    """A file of a lineage.

    Attributes:
        path: as its consumer named it, which may be within another copy of the project.
        digest: of its content, as its manifest says, or else its consumer's; None for the unknown.
        manifest: what its manifest says; None if it has none, as data and models do not.
        inputs: their paths, with the digest that each had when this one was made.
        broken: what does not hold any more, a line each.
        file: where it is now.
    """

    path: str
    digest: str | None = None
    manifest: Manifest | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    file: Path = Path()

    @property
    def facts(self) -> Manifest:
        """The manifest; empty if there is none."""
        return self.manifest or {}

    @property
    def job(self) -> tuple[Any, ...]:
        """What distinguishes the jobs that wrote manifests; one may have made several files."""
        return tuple(map(self.facts.get, ("host", "process", "started")))

    @property
    def settings(self) -> dict[str, Any]:
        """What the program was given, by key; inputs in it by their file names alone.

        A training's are its commands. So settings can be compared between folders of results.
        """
        found = {**self.facts.get("settings", {})}
        found |= {key: self.facts[key] for key in ("command", "critic") if self.facts.get(key)}
        return {key: plain(_by_name(value, self.inputs)) for key, value in found.items()}


@dataclass
class Lineage:
    """An artefact's files, each after those it is made of.

    Attributes:
        path: of the artefact.
        nodes: of the artefact and all it is made of, by their paths.
    """

    path: str
    nodes: dict[str, Node]

    @cached_property
    def root(self) -> str:
        """The folder of the results: the one that all files with a manifest share."""
        made = [str(Path(path).parent) for path, node in self.nodes.items() if node.manifest]
        try:
            return os.path.commonpath(made) if made else ""
        except ValueError:  # absolute paths and relative ones share no folder
            return ""

    def name(self, path: str) -> str:
        """A path within the results, or as it is."""
        inside = self.root and Path(path).is_relative_to(self.root)
        return str(Path(path).relative_to(self.root)) if inside else path

    @cached_property
    def roles(self) -> dict[str, str]:
        """By path, what a file is for its run: its name in the results, whichever run's they are.

        An experiment keeps its own files in ``experiments/NAME/`` and shares the others with the
        base run. The artefact itself is ``the artefact``, so that two of any names compare.
        """
        names = {path: self.name(path) for path in self.nodes}
        found = {path: EXPERIMENT.sub("", name) for path, name in names.items()}
        counts = Counter(found.values())
        found = {path: role if counts[role] == 1 else names[path] for path, role in found.items()}
        return found | {self.path: f"the artefact{Path(self.path).suffix}"}

    @property
    def broken(self) -> list[str]:
        """What does not hold any more, a line each, the causes first."""
        return [line for node in self.nodes.values() for line in node.broken]

    @property
    def gpu_hours(self) -> dict[str, float]:
        """GPU-hours by step; a job that made several files counts once."""
        jobs = {node.job: node.facts for node in self.nodes.values() if node.manifest}
        steps: dict[str, float] = defaultdict(float)
        for facts in jobs.values():
            steps[str(facts.get("what"))] += facts.get("gpu_hours") or 0.0
        return {step: round(hours, 4) for step, hours in steps.items()}

    @property
    def versions(self) -> dict[str, list[str]]:
        """Steps by the version of the project that made them; before 0.4.0 it is ``""``."""
        found: dict[str, set[str]] = defaultdict(set)
        for node in self.nodes.values():
            if node.manifest:
                version = node.facts.get("code", {}).get("version", "")
                found[version].add(str(node.facts.get("what")))
        return {version: sorted(found[version]) for version in sorted(found)}

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "artefact": self.path,
            "files": {
                path: {**node.facts, "broken": node.broken} for path, node in self.nodes.items()
            },
            "gpu_hours": {**self.gpu_hours, "total": round(sum(self.gpu_hours.values()), 4)},
            "broken": self.broken,
        }


def trace(artefact: Path | str) -> Lineage:
    """Follow an artefact back to the data, principles and models that it is made of.

    Raises:
        UserError: if the artefact has no manifest.
    """
    path = os.path.normpath(artefact)
    fail_if(
        not manifest_path(path).exists(),
        f"{manifest_path(path)}: no such file; artefacts of the workflow have a manifest beside "
        "them",
    )
    named = os.path.normpath(read_manifest(path).get("path", path))
    nodes: dict[str, Node] = {}
    _follow(named, _Moved(named, path), nodes)
    lineage = Lineage(named, nodes)
    _check(lineage)
    return lineage


class _Moved:
    """Where files are now, given where one of them was written and where it is now.

    Results may be looked at from another folder, or in a copy. The two paths of the artefact end
    the same; what is before that has moved, and the other files are looked for beside it.
    """

    def __init__(self, written: str, now: str) -> None:
        before, after = Path(written).parts, Path(os.path.abspath(now)).parts
        pairs = zip(before[::-1], after[::-1], strict=False)
        count = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        self._before = Path(*before[: len(before) - count])
        self._after = Path(*after[: len(after) - count])
        self._here = self._after == Path.cwd() / self._before

    def file(self, path: str) -> Path:
        """Where the file is that was written at a path; the path itself if it has not moved."""
        if self._here or not Path(path).is_relative_to(self._before):
            return Path(path)
        moved = self._after / Path(path).relative_to(self._before)
        return moved if moved.exists() or manifest_path(moved).exists() else Path(path)


def _follow(
    path: str,
    moved: _Moved,
    nodes: dict[str, Node],
    digest: str | None = None,
    made: tuple[str, ...] = (),
) -> None:
    """Add a file, after those that it is made of; ``made`` are those that are made of it."""
    if path in nodes:
        return
    fail_if(path in made, f"{manifest_path(path)}: inputs: {path} is made of itself")
    node = Node(path, digest, file=moved.file(path))
    beside = manifest_path(node.file)
    if beside.exists() and not node.file.is_dir():
        node.manifest = read_manifest(node.file)
        node.digest = content_digest(node.manifest)
        node.inputs = dict(node.manifest.get("inputs", {}))
    for each, known in node.inputs.items():
        _follow(each, moved, nodes, known, (*made, path))
    nodes[path] = node  # after its inputs


def _check(lineage: Lineage) -> None:
    """Hold each file against what its manifest, and those made of it, say of it."""
    now = {path: identity(node.file) for path, node in lineage.nodes.items() if node.file.exists()}
    for path, node in lineage.nodes.items():
        if path not in now:
            node.broken.append(f"{path}: is not there any more")
        elif node.manifest and node.digest != now[path]:
            node.broken.append(f"{path}: has been changed since its manifest was written")
        elif node.manifest is None and _should_have(lineage, node):
            node.broken.append(f"{path}: its manifest is missing, so what it is made of is unknown")
        for each, digest in node.inputs.items():
            if now.get(each, digest) != digest:
                node.broken.append(f"{path}: was made of another {each} than there is now")


def _should_have(lineage: Lineage, node: Node) -> bool:
    inside = bool(lineage.root) and Path(node.path).is_relative_to(lineage.root)
    return inside and not (node.file / ORIGIN).exists()


def _by_name(value: Any, paths: dict[str, str]) -> Any:
    """A value in which inputs are replaced by their file names."""
    if isinstance(value, str):
        for path in sorted(paths, key=len, reverse=True):
            value = value.replace(path, Path(path).name)
        return value
    if isinstance(value, list):
        return [_by_name(item, paths) for item in value]
    if isinstance(value, dict):
        return {key: _by_name(item, paths) for key, item in value.items()}
    return value
