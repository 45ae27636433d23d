"""What was run and when, as a reader asks it: from the manifests of a run, which say what is known.

What no manifest says is ``not known``; nothing is guessed.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cai.core.digests import digest
from cai.core.units import duration
from cai.files.records import Record
from cai.provenance.manifest import SUFFIX, load_manifest, manifest_path
from cai.settings.configuration import Model, Settings
from cai.settings.last_stages import POLICIES

UNKNOWN = "not known"
LEDGER = ".ledger.json"
TRAINED = {"sl_cai", "reward_model", *POLICIES}  # what a manifest says of a training


def beside(ledgers: Iterable[Path], artefacts: Iterable[Path]) -> list[Record]:
    """The manifests that stand beside ledgers and artefacts, each once; what has none is passed."""
    paths = [
        *(path.with_name(path.name.removesuffix(LEDGER) + SUFFIX) for path in ledgers),
        *map(manifest_path, artefacts),
    ]
    return [dict(load_manifest(path)) for path in dict.fromkeys(paths) if path.is_file()]


def run_facts(
    settings: Settings, principles: Sequence[str], manifests: Sequence[Record], command: str
) -> dict[str, str]:
    """What was run, by name.

    Args:
        settings: of the run.
        principles: ids.
        manifests: of the artefacts of its jobs.
        command: Snakemake's command line, empty where it is not known.
    """
    made = jobs(manifests)
    return {
        "Constitution": f"{settings.constitution} ({', '.join(principles)})",
        "Models": f"{_model(settings.models.base)} (base), "
        f"{_model(settings.models.instruct)} (helpful-only)",
        "Judge": _judge(settings),
        "Critique-revision rounds": str(settings.supervised.rounds),
        "Command": command or UNKNOWN,
        "Made": _period(made),
        "Took": _time(made),
        "Machine": _machines(made),
        "Workflow": _code(manifests),
        "Seed": str(settings.seed),
        "Settings": digest(settings.model_dump(mode="json"))[:16],
        "Results": f"{settings.results}/",
    }


def _model(model: Model) -> str:
    return f"{model.source} at {model.revision[:12]}" if model.revision else model.source


def _judge(settings: Settings) -> str:
    """The judge's kind, and who answers."""
    kind = settings.preferences.judge
    who = {"logprob": "the helpful-only model", "random": "a coin"}
    return f"{getattr(settings.judge, 'model', None) or who[kind]} ({kind})"


def jobs(manifests: Iterable[Record]) -> list[Record]:
    """One manifest of each process, its last: a job can write several artefacts."""
    found: dict[tuple[Any, ...], Record] = {}
    for manifest in manifests:
        key = tuple(manifest.get(name) for name in ("host", "process", "started"))
        if None in key:
            continue
        if key not in found or manifest["seconds"] > found[key]["seconds"]:
            found[key] = manifest
    return sorted(found.values(), key=lambda job: job["started"])


def _period(jobs: Sequence[Record]) -> str:
    """From when to when, such as ``2026-11-29 17:33 to 17:40 UTC``."""
    times = _times(jobs)
    if times is None:
        return UNKNOWN
    first, last = times
    zone = "UTC" if last.utcoffset() is None or not last.utcoffset() else f"{last:%z}"
    late = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M} to {late} {zone}"


def _times(jobs: Sequence[Record]) -> tuple[datetime, datetime] | None:
    """The start of the first job and the end of the last one, if any is known."""
    known = [job for job in jobs if job.get("written")]
    if not known:
        return None
    begun = min(datetime.fromisoformat(job["started"]) for job in known)
    return begun, max(datetime.fromisoformat(job["written"]) for job in known)


def _time(jobs: Sequence[Record]) -> str:
    """The time of all jobs, of the trainings among them, and the GPU-hours."""
    if not jobs:
        return UNKNOWN
    total = sum(job["seconds"] for job in jobs)
    training = sum(job["seconds"] for job in jobs if job.get("what") in TRAINED)
    gpu_hours = sum(job.get("gpu_hours") or 0 for job in jobs)
    gpus = f"{gpu_hours:.2f} GPU-hours" if gpu_hours else "no GPU"
    count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
    return f"{duration(total)} of work in {count}, {duration(training)} of it training; {gpus}"


def _machines(jobs: Iterable[Record]) -> str:
    """The machines that jobs ran on, each with its processor where a manifest names it."""
    found: dict[str, dict[str, None]] = {}
    for job in jobs:
        found.setdefault(job["host"], {}).update(dict.fromkeys(_processors(job)))
    return "; ".join(f"{host} ({_words(known)})" for host, known in found.items()) or UNKNOWN


def _processors(job: Record) -> list[str]:
    known: Mapping[str, object] = job.get("machine") or {}
    cores = f"{known['cores']} cores" if known.get("cores") else ""
    words = [known.get("system"), known.get("processor"), cores]
    text = ", ".join(str(word) for word in words if word)
    return [text] if text else []


def _words(known: Iterable[str]) -> str:
    return "; ".join(known) or "processor not known"


def _code(manifests: Iterable[Record]) -> str:
    """The commits that artefacts were made with, and whether programs were edited since."""
    codes = [manifest["code"] for manifest in manifests if manifest.get("code")]
    known = dict.fromkeys(_commit(code) for code in codes if code.get("commit"))
    return ", ".join(known) or UNKNOWN


def _commit(code: Record) -> str:
    edited = " with edits that are not committed" if code.get("dirty") else ""
    version = f"version {code['version']}, " if code.get("version") else ""
    return f"{version}commit {code['commit'][:12]}{edited}"
