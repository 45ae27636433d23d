"""Run by the profiles as Snakemake reads them, before it reads the files of its command line.

Snakemake would tell a mistake in these without the file's name, or with a stack trace.
"""

import sys
from pathlib import Path

started = sys.orig_argv[1:3]  # .../bin/snakemake, or -m snakemake
if "snakemake" in [Path(word).name for word in started]:
    sys.path.insert(0, "scripts")
    from cai.command_line import check, warnings
    from cai.errors import UserError

    try:
        check(sys.argv[1:])
        for line in warnings(sys.argv[1:]):
            print(line, file=sys.stderr)
    except UserError as error:
        sys.exit(f"error: {error}")
