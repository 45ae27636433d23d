"""One line for each job of a run, for a person, in place of Snakemake's paragraphs.

It takes over where the variable ``CAI_JOB_LINES`` is ``yes``, as the demo's profile sets it. Errors
and warnings stay as Snakemake writes them, dry runs too, and its own log file keeps everything.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from cai.running.job_words import words_of

LOGGER = "snakemake.logging"
VARIABLE = "CAI_JOB_LINES"
# What Snakemake says of itself while all goes well; it says it without an event of its own.
CHATTER = re.compile(
    r"Building DAG of jobs|Using shell: |Conda environments: ignored|Select jobs to execute|"
    r"Execute \d+ jobs|Removing temporary output|Complete log\(s\): |Touching output file"
)
TOLD = {"job_info", "job_finished", "progress", "run_info", "resources_info", "shellcmd"}
CLEAR = "\r\x1b[K"  # of the line that the cursor is in
NARROW = 100  # columns of a terminal of unknown width


class JobLines(logging.Handler):
    """Writes a line when a job has ended, and on a terminal what is running now.

    Args:
        stream: where to; a terminal also gets the line of running jobs.
        clock: seconds.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(logging.INFO)
        self._stream = stream or sys.stderr
        self._clock = clock
        self._running: dict[int, tuple[float, str, str]] = {}  # by job: start, words, output
        self._ended: list[tuple[float, str, str]] = []  # seconds, words, output
        self._is_terminal = self._stream.isatty()

    def take_over(self) -> None:
        """Write from now on; Snakemake itself writes what is neither said here nor chatter."""
        logger = logging.getLogger(LOGGER)
        for handler in logger.handlers:
            writes = isinstance(handler, logging.StreamHandler)  # others only listen, as Failures
            if writes and not isinstance(handler, logging.FileHandler):
                handler.addFilter(self._passes)
        logger.addHandler(self)

    def _passes(self, record: logging.LogRecord) -> bool:
        """Whether Snakemake's own handler writes a record; a line of running jobs makes room."""
        if _event(record) in TOLD:
            return False
        if record.levelno <= logging.INFO and CHATTER.match(str(record.msg)):
            return False
        self._clear()
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Take one event; what cannot be understood must not stop the run."""
        take = {
            "run_info": self._begins,
            "job_info": self._starts,
            "job_finished": self._ends,
            "progress": self._progress,
            "job_error": self._fails,
        }.get(_event(record))
        try:
            if take:
                take(record)
        except Exception:
            self.handleError(record)

    def _begins(self, record: Any) -> None:
        total = record.stats["total"]
        self._write(f"{total} {'job' if total == 1 else 'jobs'} to do")

    def _starts(self, record: Any) -> None:
        words = words_of(record.rule_name, record.wildcards or {})
        output = str(record.output[0]) if record.output else ""
        self._running[record.jobid] = self._clock(), words, output
        self._show_running()

    def _ends(self, record: Any) -> None:
        job = self._running.pop(record.job_id, None)
        if job:
            start, words, output = job
            self._ended.append((self._clock() - start, words, output))

    def _progress(self, record: Any) -> None:
        """Write the jobs that have ended since; each has its number."""
        width = len(str(record.total))
        first = record.done - len(self._ended) + 1
        for number, (seconds, words, output) in enumerate(self._ended, first):
            place = f"[{number:{width}}/{record.total}]"
            made = f"-> {output}" if output else ""
            self._write(f"{place} {_time(seconds):>8}  {words:50} {made}".rstrip())
        self._ended.clear()
        self._show_running()

    def _fails(self, record: Any) -> None:
        self._running.pop(record.jobid, None)

    def _write(self, line: str) -> None:
        self._clear()
        print(line, file=self._stream, flush=True)

    def _show_running(self) -> None:
        if self._is_terminal and self._running:
            now = "; ".join(words for _, words, _ in self._running.values())
            width = _columns(self._stream) - 1
            print(f"{CLEAR}now: {now}"[: width + len(CLEAR)], end="", file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._is_terminal:
            print(CLEAR, end="", file=self._stream, flush=True)


def are_wanted(workflow: Any) -> bool:
    """Whether this process runs jobs for a user who wants a line for each of them."""
    wanted = os.environ.get(VARIABLE) == "yes"
    return wanted and workflow.is_main_process and not workflow.output_settings.dryrun


def _event(record: logging.LogRecord) -> str:
    return str(getattr(record, "event", ""))


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or NARROW
    except OSError:
        return NARROW


def _time(seconds: float) -> str:
    """Such as ``4 s`` and ``12:07``: minutes and seconds."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min"
