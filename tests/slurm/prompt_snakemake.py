"""Snakemake, asking Slurm for its jobs each second.

The executor waits ten seconds longer after each look at which no job has ended, which suits jobs of
hours: those of a test took as long to be noticed as to run.
"""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

SECONDS = 1

if __name__ == "__main__":
    sys.path[0] = ""  # as for python -m snakemake
    Executor.next_seconds_between_status_checks = property(lambda self: SECONDS, lambda *_: None)
    main()
