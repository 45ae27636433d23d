#!/usr/bin/env python
"""Start a NeMo program as a job's resources say: directly, by srun, in a container.

    launch.py [--launch JSON] [--dry-run] -- PROGRAM ARGUMENT...

NODES, DEVICES and RANKS as values of arguments (trainer.devices=DEVICES) are filled in.
"""

import argparse
import os
import shlex
import sys

from cai.core.cli import add_json_option, run, split_commands
from cai.core.errors import UserError, fail_if
from cai.running.launch import Launch
from cai.running.launcher import Launcher
from cai.running.process import with_variables


def main() -> None:
    """Read the command line and become the program."""
    own, commands = split_commands(sys.argv[1:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_json_option(
        parser,
        "--launch",
        Launch,
        "launcher, nodes, gres, container, mounts, environment ... (default: directly)",
    )
    parser.add_argument("--name", default="", help="name of the job step")
    parser.add_argument("--dry-run", action="store_true", help="print what would be run")
    options = parser.parse_args(own)
    fail_if(len(commands) != 1, "expected one command after --")
    launcher = Launcher(options.launch)
    command = launcher.command(commands[0], {}, options.name)
    if options.dry_run:
        given = launcher.environment({})
        unset = [word for name, text in given.items() if text is None for word in ("-u", name)]
        hidden = {name for name, text in options.launch.environment.items() if text is True}
        variables = [
            f"{name}={'...' if name in hidden else text}"
            for name, text in given.items()
            if text is not None
        ]
        around = ["env", *unset] if unset else []
        print(shlex.join([*around, *variables, *command]))
        return
    try:
        os.execvpe(command[0], command, with_variables(launcher.environment({})))
    except OSError as error:
        raise UserError(f"{command[0]}: cannot be run: {error.strerror}") from None


if __name__ == "__main__":
    run(main)
