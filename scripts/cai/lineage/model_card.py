"""A model's card: what an exported model is, in the words that the Hugging Face hub reads.

All of it comes from the manifests that the model's lineage has, and from its evaluation.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from cai.core.errors import UserError
from cai.evaluation.tables import label
from cai.figures.drawing import read_metrics
from cai.files.documents import read_yaml
from cai.lineage.trace import Lineage, Node
from cai.models.templates import Template
from cai.report.page import render

PAGE = "model_card.md.j2"
REWARDS = "reward_model"
UNKNOWN = "not stated"
DIGITS = 12  # of a digest
STAGES = ("critique", "revision", "preference")


def read_licences(path: Path) -> dict[str, str]:
    """Licences by the source of a model or dataset; ``*`` in a source stands for any text.

    Raises:
        UserError: the file is no such list.
    """
    found = read_yaml(path) or {}
    pairs = found.items() if isinstance(found, dict) else [("", found)]
    for source, licence in pairs:
        if not isinstance(source, str) or not isinstance(licence, str):
            raise UserError(
                f"{path}: {source}: found {licence!r:.100}; accepted: a source and the name of its "
                "licence, such as mit"
            )
    return dict(pairs)


def card(
    name: str,
    lineage: Lineage,
    licences: Mapping[str, str],
    template: Template,
    measured: Path,
) -> str:
    """The card as Markdown.

    Args:
        name: the model's in the workflow, such as ``rl_cai``.
        lineage: its own.
        licences: see :func:`read_licences`.
        template: in which it was trained.
        measured: its evaluation as Markdown; of a reward model the metrics of its training.
    """
    models = _origins(lineage, licences)
    data = _sources(lineage, licences)
    return render(
        PAGE,
        title="Reward model" if name == REWARDS else label(name),
        head=yaml.safe_dump(_head(name, models, data), sort_keys=False),
        is_reward_model=name == REWARDS,
        models=models,
        data=data,
        principles=_principles(lineage),
        stages=STAGES,
        steps=list(_steps(lineage)),
        broken=len(lineage.broken),
        versions=[version for version in lineage.versions if version],
        digest=lineage.nodes[lineage.path].digest,
        stops=template.stop,
        measured=_accuracy(measured) if name == REWARDS else measured.read_text(),
    )


def _accuracy(metrics: Path) -> str:
    """How often a reward model prefers what was preferred, in the held-out comparisons."""
    points = read_metrics(metrics).get("val/acc")
    if not points:
        return "Its accuracy on held-out comparisons was not measured."
    step, value = points[-1]
    return (
        f"Held-out comparisons in which it prefers what was preferred: {value:.1%}, after {step} "
        "steps of training. They are judgements of AI and of people together."
    )


def _head(name: str, models: list[dict[str, Any]], data: list[dict[str, Any]]) -> dict[str, Any]:
    """What the hub reads at the beginning of a card."""
    base = next((one for one in models if one["role"] == "base"), None)
    head: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-classification" if name == REWARDS else "text-generation",
        "tags": ["constitutional-ai", "nemo-aligner"],
    }
    if base and base["revision"]:
        head["base_model"] = base["source"]
    if base and base["licence"] != UNKNOWN:
        head["license"] = base["licence"]
    hub = sorted({one["source"] for one in data if one["revision"] and ":" not in one["source"]})
    return head | ({"datasets": hub} if hub else {})


def _origins(lineage: Lineage, licences: Mapping[str, str]) -> list[dict[str, Any]]:
    """The pretrained models, each with its role, source, revision and licence."""
    return [
        {
            "role": Path(path).stem,
            "source": model.get("source") or "of unknown origin",
            "revision": model.get("revision") or "",
            "licence": _licence(licences, model.get("source") or ""),
        }
        for path, node in lineage.nodes.items()
        if (model := node.facts.get("model"))
    ]


def _sources(lineage: Lineage, licences: Mapping[str, str]) -> list[dict[str, Any]]:
    """The datasets that were read, each once, with the steps that read it."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for node in lineage.nodes.values():
        for source in node.facts.get("sources", []):
            key = (source["source"], source.get("data_dir") or "", source.get("revision") or "")
            step = str(node.facts.get("what"))
            if step not in found[key]:
                found[key].append(step)
    return [
        {
            "source": source,
            "folder": folder,
            "revision": revision,
            "licence": _licence(licences, source),
            "steps": steps,
        }
        for (source, folder, revision), steps in found.items()
    ]


def _licence(licences: Mapping[str, str], source: str) -> str:
    """The licence of a source; the source itself comes before patterns."""
    if source in licences:
        return licences[source]
    matching = (name for pattern, name in licences.items() if fnmatchcase(source, pattern))
    return next(matching, UNKNOWN)


def _principles(lineage: Lineage) -> dict[str, dict[str, str]]:
    """The texts of each principle that a step used, by its name."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for node in lineage.nodes.values():
        for name, texts in node.facts.get("principles", {}).items():
            found[name] |= {stage: texts[stage] for stage in STAGES if stage in texts}
    return dict(found)


def _steps(lineage: Lineage) -> Iterator[dict[str, Any]]:
    """The steps in their order: files, content, records, GPU-hours."""
    steps: dict[str, list[Node]] = defaultdict(list)
    for node in lineage.nodes.values():
        if node.manifest:
            steps[str(node.facts.get("what"))].append(node)
    for what, nodes in steps.items():
        ledgers = {node.job: node.facts["ledger"] for node in nodes if node.facts.get("ledger")}
        counts = {key: sum(one[key] for one in ledgers.values()) for key in ("in", "out")}
        digests = [(node.digest or "")[:DIGITS] for node in nodes]
        yield {
            "what": what,
            "files": len(nodes),
            "content": digests[0] if len(digests) == 1 else "",
            "records": f"{counts['in']} → {counts['out']}" if ledgers else "",
            "gpu_hours": lineage.gpu_hours.get(what, 0),
        }
