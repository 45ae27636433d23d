#!/usr/bin/env python
"""Train with one of NeMo-Aligner's programs: resume, judge by the .nemo, publish atomically.

    train.py [options] -- PROGRAM OVERRIDE...
    train.py [options] -- CRITIC OVERRIDE... -- ACTOR OVERRIDE...      (PPO)

In the commands, LOG_DIR stands for the training's own folder, FREE_PORT for the critic's port and
CRITIC_HOST for the node where it is reached; STEPS for the steps that follow from the data and the
global batch; NODES, DEVICES and RANKS for the sizes of the launch.
"""

import argparse
import sys
from pathlib import Path

from cai.core.cli import add_json_option, existing_file, positive, run, split_commands
from cai.core.errors import fail_if
from cai.running.launch import Launch
from cai.training.trainer import Training


def main() -> None:
    """Read the command line and train."""
    own, commands = split_commands(sys.argv[1:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--what", required=True, help="name of the run in messages")
    parser.add_argument("--work", required=True, type=Path, help="folder of the run's work folders")
    parser.add_argument("--name", required=True, help="exp_manager.name: the .nemo is named so")
    parser.add_argument("--output", required=True, type=Path, help=".nemo file to publish")
    parser.add_argument("--log", required=True, type=Path, help="log of the programs")
    parser.add_argument("--inputs", required=True, nargs="+", type=existing_file)
    for flag, whose in (("--launch", "the program"), ("--critic-launch", "the critic")):
        add_json_option(parser, flag, Launch, f"how {whose} is started (default: directly)")
    parser.add_argument(
        "--keep-steps", nargs="+", type=positive, default=(), metavar="STEP",
        help="steps whose checkpoints stay in the run's own folder, of those that are saved",
    )  # fmt: skip
    options = parser.parse_args(own)
    fail_if(len(commands) not in (1, 2), "expected one command, or two for PPO, each after --")
    *critic, command = commands
    Training(**vars(options), command=command, critic=critic[0] if critic else None).run()


if __name__ == "__main__":
    run(main)
