"""What differs between two lineages: each cause once, before its consequences."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cai.core.changes import NOTHING, Change, compare
from cai.lineage.trace import Lineage, Node


@dataclass(frozen=True)
class Difference:
    """What differs between two lineages.

    Attributes:
        files: what differs in each file, by its role, see :attr:`Lineage.roles`.
        same_content: whether the two artefacts themselves are equal.
    """

    files: dict[str, list[Change]]
    same_content: bool

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it; what is not there is null."""
        return {
            "same_content": self.same_content,
            "files": {
                name: [{key: _json(item) for key, item in each._asdict().items()} for each in found]
                for name, found in self.files.items()
            },
        }


def difference(before: Lineage, now: Lineage) -> Difference:
    """Compare two artefacts by what they are made of.

    For files with a manifest these are settings, principles, code, software and the names of the
    inputs; for others, such as data, the content. The content of a file with a manifest is given
    where nothing that is recorded explains it.
    """
    first, second = _named(before), _named(now)
    found: dict[str, list[Change]] = {}
    differs: set[str] = set()
    for name in [*first, *(name for name in second if name not in first)]:
        left, right = first.get(name), second.get(name)
        changes = list(_own(left, right, before, now))
        follows = not differs.isdisjoint([*_inputs(left, before), *_inputs(right, now)])
        if left and right and not changes and not follows and left.digest != right.digest:
            changes = [Change(("content",), left.digest, right.digest)]
        if changes or follows:
            differs.add(name)
        if changes:
            found[name] = changes
    return Difference(found, before.nodes[before.path].digest == now.nodes[now.path].digest)


def _own(left: Node | None, right: Node | None, before: Lineage, now: Lineage) -> Iterator[Change]:
    """What differs in a file itself, whatever differs in what it is made of."""
    if left is None or right is None:
        yield Change(
            ("file",), left.digest if left else NOTHING, right.digest if right else NOTHING
        )
    elif left.manifest and right.manifest:
        yield from compare(_view(left, before), _view(right, now))


def _view(node: Node, lineage: Lineage) -> dict[str, Any]:
    """What of a manifest is compared; of the code its digest, as not all commits touch it."""
    facts = node.facts
    return {
        "settings": node.settings,
        **{
            f"principle {name}": {key: text for key, text in texts.items() if key != "digest"}
            for name, texts in facts.get("principles", {}).items()
        },
        "model": facts.get("model", {}),
        "inputs": dict.fromkeys(sorted(_inputs(node, lineage)), True),
        "code": {"scripts": facts.get("code", {}).get("scripts")},
        "software": facts.get("software", {}),
    }


def _named(lineage: Lineage) -> dict[str, Node]:
    return {lineage.roles[path]: node for path, node in lineage.nodes.items()}


def _inputs(node: Node | None, lineage: Lineage) -> list[str]:
    return [lineage.roles[path] for path in node.inputs] if node else []


def _json(value: Any) -> Any:
    return None if value is NOTHING else value
