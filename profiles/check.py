"""Run by the profiles as Snakemake reads them, before it reads the files of its command line.

Snakemake reports a mistake in these without the file's name, or with a stack trace.
"""

import importlib.util
import sys
from pathlib import Path

started = sys.orig_argv[1:3]  # .../bin/snakemake, or -m snakemake
found = importlib.util.find_spec("cai")  # without it the Snakefile says what to do
if found and "snakemake" in [Path(word).name for word in started]:
    from cai.core.errors import UserError
    from cai.workflow.command_line import check, warnings

    try:
        check(sys.argv[1:])
        for line in warnings(sys.argv[1:]):
            print(line, file=sys.stderr)
    except UserError as error:
        sys.exit(f"error: {error}")
