"""Which jobs of a run failed, why, and what to do: a block for each, after Snakemake's messages.

Snakemake reports what happens in events of its log, those that its logger plugins get:
:class:`Failures` listens to them. What a job's failure means is read from Slurm and from the logs.
"""

import logging
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

from cai.running import slurm
from cai.running.process import tail

LOGGER = "snakemake.logging"
LOOK = 400  # lines at the end of a log in which the telling ones are looked for
SHOWN = 6  # lines of a log that are shown
WHOLE = 3  # jobs with the same failure that are shown in full
WIDTH = 300  # characters of a line that are shown

RULES_ERROR = re.compile(r"^error: ")  # of our programs: one line, for a user
LOGS_END = re.compile(r"; its log (?P<log>.+) ends:$|, which ends:$")
LAST_OF_A_TRACE = re.compile(r"^(?:\[?(?:rank)?\d+\]?: ?)?(?:[a-z_]\w*\.)*\w*(?:Error|Exception)\b")
HYDRA = re.compile(r"^(?:\[?(?:rank)?\d+\]?: ?)?Error executing job with overrides")
SYSTEMS_ERROR = re.compile(
    r"^(?:srun|slurmstepd\S*): error: (?!.*Exited with exit code)|^\S*\b(?:ba)?sh: |^FATAL: "
)
KILLED_FOR_MEMORY = re.compile(r"oom.kill|OOM Killed|Exceeded job memory limit", re.IGNORECASE)
GPU_MEMORY = re.compile(r"CUDA out of memory")
STATE = re.compile(r"SLURM status is: '(\w+)'")
REFUSED = re.compile(r"sbatch failed. The error message was '(.*?)'\.?\n", re.DOTALL)
SBATCH = re.compile(r"^sbatch: (?:error: )?(?:Batch job submission failed: )?", re.MULTILINE)
CODE = re.compile(r"non-zero exit status (\d+)|died with <Signals\.(\w+)")
WITHOUT_OUTPUT = re.compile(
    r"Job (\d+)\s+completed successfully, but some output files are missing"
)
MISSING = re.compile(r"^(.+?) \(missing locally", re.MULTILINE)

ENDS = {  # Slurm's states, in words that follow a job's name
    "TIMEOUT": "reached its time limit",
    "OUT_OF_MEMORY": "ran out of memory",
    "CANCELLED": "was cancelled",
    "NODE_FAIL": "lost a node",
    "BOOT_FAIL": "was given nodes that did not start",
    "PREEMPTED": "gave way to another job (preempted)",
    "DEADLINE": "reached its deadline",
}
Excerpt = tuple[Path, list[str]]  # of a log, the lines that are shown
AGAIN = "the same command goes on from what is done"


class Log:
    """A log file as it is; what it already has is of an earlier submission.

    Snakemake removes a job's logs when the job starts, which some never do.
    """

    def __init__(self, path: str, earlier: bool = False) -> None:
        self.path = Path(path)
        self._earlier = self._written() if earlier else None

    def _written(self) -> int | None:
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return None

    def lines(self) -> list[str]:
        """The last lines, without empty ones."""
        if self._written() in (None, self._earlier):
            return []
        return [line for line in tail(self.path, LOOK).split("\n") if line.strip()]


@dataclass
class Job:
    """A job of this run, as its last submission left it.

    Attributes:
        rule: name of its rule.
        wildcards: values by their names.
        logs: of the rule, in its order: the job's own, then NeMo's.
        resources: those that it was given.
        submission: which one this is, from 1.
        failed: whether it has failed, and was not submitted again.
        said: what Snakemake said of the failure.
        slurm: the Slurm job's id.
        slurm_logs: Slurm's own of the job.
    """

    rule: str
    wildcards: Mapping[str, str]
    logs: list[Log]
    resources: Mapping[str, Any]
    submission: int = 1
    failed: bool = False
    said: str = ""
    slurm: str = ""
    slurm_logs: list[Log] = field(default_factory=list)

    @property
    def which(self) -> str:
        """The wildcards' values and the Slurm job, for messages."""
        values = ", ".join(f"{name} {value}" for name, value in self.wildcards.items())
        return ", ".join(filter(None, [values, self.slurm and f"Slurm job {self.slurm}"]))

    @property
    def name(self) -> str:
        """The rule and which of its jobs, for messages."""
        return f"rule {self.rule} ({self.which})" if self.which else f"rule {self.rule}"


class Failures(logging.Handler):
    """Keeps count of the jobs of a run and reports the failed ones.

    Args:
        show: takes a line about a job that failed and is submitted again.
    """

    def __init__(self, show: Callable[[str], None] | None = None) -> None:
        super().__init__(logging.INFO)
        self._show = show or (lambda line: print(line, file=sys.stderr, flush=True))
        self._jobs: dict[int, Job] = {}
        self._said: dict[int | None, str] = {}  # by thread: an exception's text precedes its job's

    def watch(self) -> None:
        """Listen from now on, until the process ends."""
        logging.getLogger(LOGGER).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take one event; what cannot be understood must not stop the run."""
        take = {
            "job_info": self._submitted,
            "job_error": self._failed,
            "job_finished": self._finished,
            "error": self._exception,
        }.get(str(getattr(record, "event", "")))
        try:
            if take:
                take(record)
        except Exception:
            self.handleError(record)

    def _submitted(self, record: Any) -> None:
        before = self._jobs.get(record.jobid)
        if before and before.failed:
            self._show(_again(before))
        self._jobs[record.jobid] = Job(
            rule=record.rule_name,
            wildcards=dict(record.wildcards or {}),
            logs=[Log(log, earlier=True) for log in record.log or []],
            resources=dict(record.resources.items()),
            submission=before.submission + 1 if before else 1,
        )

    def _failed(self, record: Any) -> None:
        job = self._jobs[record.jobid]
        job.failed = True
        job.said = record.rule_msg or self._said.pop(record.thread, "")
        job.slurm = str((record.aux or {}).get("external_jobid") or "")
        known = {str(log.path) for log in job.logs}
        job.slurm_logs = [Log(log) for log in record.log if log not in known]

    def _finished(self, record: Any) -> None:
        self._jobs.pop(record.job_id, None)

    def _exception(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._said[record.thread] = text
        without = WITHOUT_OUTPUT.search(text)
        job = self._jobs.get(int(without[1])) if without else None
        if job:
            job.failed, job.said = True, text

    def report(self) -> str:
        """A block for each job that has failed for good; at most three for the same failure."""
        jobs = [job for job in self._jobs.values() if job.failed]
        if not jobs:
            return f"Stopped before the end; no job failed: {AGAIN}."
        ends = slurm.ended([job.slurm for job in jobs if job.slurm])
        causes = [(job, _cause(job, ends.get(job.slurm))) for job in jobs]
        causes.sort(key=lambda pair: (pair[0].rule, pair[1].reason))
        parts = ["One job failed:" if len(jobs) == 1 else f"{len(jobs)} jobs failed:"]
        for _, alike in groupby(causes, key=lambda pair: (pair[0].rule, pair[1].reason)):
            several = list(alike)
            parts += [_block(job, cause) for job, cause in several[:WHOLE]]
            if several[WHOLE:]:
                parts.append(_others([job for job, _ in several[WHOLE:]]))
        return "\n\n".join(parts)


@dataclass(frozen=True)
class Cause:
    """Why a job failed.

    Attributes:
        reason: words that follow the job's name.
        excerpts: lines of the logs; None where they have nothing to do with it.
        hint: what to do.
    """

    reason: str
    excerpts: list[Excerpt] | None = None
    hint: str = ""


def _again(job: Job) -> str:
    """One line about a submission that failed, by what Snakemake said of it and the logs."""
    cause = _cause(job, None)
    own = [line for _, lines in cause.excerpts or [] for line in lines if RULES_ERROR.match(line)]
    why = f": {_sentence(own[0]).removeprefix('error: ')[:WIDTH]}" if own else ""
    which = f" ({job.which})" if job.which else ""
    submission = f"rule {job.rule}: submission {job.submission}{which}"
    return f"{submission} {cause.reason}{why}; it is submitted again"


def _cause(job: Job, end: slurm.Ended | None) -> Cause:
    refused = REFUSED.search(job.said)
    if refused:
        said = "; ".join(SBATCH.sub("", refused[1]).strip().splitlines())
        hint = f"other resources for rule {job.rule} in the profile"
        return Cause(f"was refused by Slurm: {said}", hint=hint)
    if WITHOUT_OUTPUT.search(job.said):
        missing = ", ".join(MISSING.findall(job.said))
        hint = "where files of other nodes show up late: latency-wait in the profile"
        return Cause(f"ended well, but its output is not there: {missing}", hint=hint)
    state = _state(job, end)
    if state in ENDS:
        return Cause(_words(state, job, end), _own_excerpts(job), _hint(state, job))
    excerpts = _own_excerpts(job) or _slurms_excerpts(job)
    if any(GPU_MEMORY.search(line) for _, lines in excerpts for line in lines):
        hint = f"more GPUs for rule {job.rule} in the profile, or smaller micro batches"
        return Cause("failed: the memory of a GPU is too small", excerpts, hint)
    reason, hint = _by_code(job)
    return Cause(reason, excerpts, hint)


def _state(job: Job, end: slurm.Ended | None) -> str:
    """Slurm's word for a job's end.

    Of a job that failed because a step ran out of memory it is FAILED: then the logs say more.
    """
    said = STATE.search(job.said)
    state = end.state if end else said[1] if said else ""
    lines = (line for log in [*job.slurm_logs, *job.logs] for line in log.lines())
    if state == "FAILED" and any(KILLED_FOR_MEMORY.search(line) for line in lines):
        return "OUT_OF_MEMORY"
    return state


def _words(state: str, job: Job, end: slurm.Ended | None) -> str:
    limit = (end and end.limit) or job.resources.get("runtime")
    memory = job.resources.get("mem_mb")
    details = {
        "TIMEOUT": limit and f" of {limit} min",
        "OUT_OF_MEMORY": memory and f" ({memory} MB a node)",
        "NODE_FAIL": end and end.nodes and f" ({end.nodes})",
    }
    return ENDS[state] + (details.get(state) or "")


def _hint(state: str, job: Job) -> str:
    if state == "TIMEOUT":
        return f"{AGAIN}; for more time: runtime of rule {job.rule} in the profile"
    if state == "OUT_OF_MEMORY":
        return f"more memory: mem_mb of rule {job.rule} in the profile"
    return AGAIN


def _by_code(job: Job) -> tuple[str, str]:
    """The words and the hint for a local job; in Slurm its code is Snakemake's, always 1."""
    found = CODE.search(job.said)
    if not found:
        return "failed", ""
    code = int(found[1] or 0)
    name = found[2] or (_signal(code - 128) if code > 128 else "")
    if name in ("SIGINT", "SIGTERM"):
        return f"was stopped ({name})", AGAIN
    if name == "SIGKILL":
        return "was killed (SIGKILL), often for want of memory", ""
    return f"failed ({name or f'exit code {code}'})", ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _own_excerpts(job: Job) -> list[Excerpt]:
    """The telling lines of the rule's own log, and of NeMo's logs that name an error."""
    written = [(log.path, lines) for log in job.logs if (lines := log.lines())]
    telling = [(path, _marked(lines)) for path, lines in written]
    if written and not telling[0][1]:
        telling[0] = written[0][0], written[0][1][-SHOWN:]
    return [(path, lines) for path, lines in telling if lines]


def _slurms_excerpts(job: Job) -> list[Excerpt]:
    """What the shell or Slurm says in Slurm's log, which is Snakemake's for the rest."""
    return [(log.path, lines) for log in job.slurm_logs if (lines := _systems(log.lines()))]


def _marked(lines: Sequence[str]) -> list[str]:
    """The lines that name an error.

    Of our programs that is one line; the log that they quote is shown beside. Of many ranks' traces
    after Hydra's word, the first is the cause; without it, the last exception is.
    """
    ours = [line for line in lines if RULES_ERROR.match(line)]
    if ours:
        return [_sentence(ours[-1])]
    hydra = next((at for at, line in enumerate(lines) if HYDRA.match(line)), None)
    traces = [at for at, line in enumerate(lines) if LAST_OF_A_TRACE.match(line)]
    if hydra is not None:
        after = [at for at in traces if at > hydra]
        return _paragraph(lines[after[0] :]) if after else list(lines[-SHOWN:])
    if traces:
        return _paragraph(lines[traces[-1] :])
    return _systems(lines)


def _sentence(line: str) -> str:
    """A line of ours without the announcement of the log's last lines, which are shown beside."""
    return LOGS_END.sub(lambda found: f"; log: {found['log']}" if found["log"] else "", line)


def _paragraph(lines: Sequence[str]) -> list[str]:
    """The first line and those under it that are indented."""
    return [lines[0], *takewhile(lambda line: line[0].isspace(), lines[1:SHOWN])]


def _systems(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if SYSTEMS_ERROR.search(line)][-SHOWN:]


def _block(job: Job, cause: Cause) -> str:
    lines = [f"{job.name} {cause.reason}"]
    for log, telling in cause.excerpts or []:
        lines.append(f"  {_here(log)}:")
        lines += [f"    {line[:WIDTH]}" for line in telling]
    if cause.excerpts == []:
        lines += [f"  nothing is in {_here(log.path)}" for log in job.logs[:1]]
        lines += [f"  Slurm's log: {_here(log.path)}" for log in job.slurm_logs]
    if cause.hint:
        lines.append(f"  next: {cause.hint}")
    return "\n".join(lines)


def _here(path: Path) -> Path:
    """A path as seen from the working directory, if it is in there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _others(jobs: Sequence[Job]) -> str:
    shown = "; ".join(job.which for job in jobs[:20]) + ("; ..." if len(jobs) > 20 else "")
    return f"and {len(jobs)} more of rule {jobs[0].rule} with the same end: {shown}"
