#!/usr/bin/env python
"""Begin an experiment of your own, or show what one has found.

experiment.py                       the experiments that there are
experiment.py mine                  begin one: a copy of the constitution, to edit
experiment.py mine --from OTHER     a copy of another experiment's
experiment.py mine --show           what `snakemake compare` found, for a terminal
experiment.py mine --show --against OTHER
"""

import argparse
from pathlib import Path

from cai.core import cli
from cai.core.errors import fail_if
from cai.core.shown import shown
from cai.files.records import read_json
from cai.report import comparison_page
from cai.settings.configuration import Settings, load_settings
from cai.workflow import command_line, experiments, new_experiment

USUAL = "profiles/demo"  # the profile of make's targets


def main() -> None:
    """Read the command line; list, begin or show."""
    options = _parser().parse_args()
    if options.name is None:
        print("\n".join(_listed()))
        return
    settings = load_settings(command_line.configuration(options))
    print(shown(_found(options, settings) if options.show else _begun(options, settings)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the experiment")
    parser.add_argument("--from", dest="other", metavar="OTHER", help="its constitution is copied")
    parser.add_argument("--show", action="store_true", help="show what its comparison found")
    parser.add_argument(
        "--against", default=experiments.BASE, metavar="OTHER", help="the run it was compared with"
    )
    command_line.add_configuration(parser)
    return parser


def _listed() -> list[str]:
    known = [(name, new_experiment.about(name)) for name in experiments.names()]
    width = max((len(name) for name, _ in known), default=0)
    lines = [f"  {name.ljust(width)}  {words}".rstrip() for name, words in known]
    return ["Experiments:", *lines, "One of your own: make experiment EXPERIMENT=mine"]


def _begun(options: argparse.Namespace, settings: Settings) -> str:
    """Make the files, and say how to go on."""
    source = settings.constitution
    if options.other is not None:
        other = experiments.overlay(options.other, "--from").fields
        source = str(other.get("constitution", source))
    profile = options.profile or USUAL
    more = "" if profile == USUAL else f" PROFILE={profile}"
    place = experiments.FOLDER / options.name
    known = bool(experiments.files(options.name))
    path = new_experiment.create(options.name, Path(source), more)
    what = "is there already, and stays as it is" if known else f"a copy of {source}"
    ending = f"EXPERIMENT={options.name}{more}"
    asked = f"  make understand {ending} how the demo's models understand it, in half a minute"
    understand = [asked] if profile == USUAL else []
    return "\n".join(
        [
            f"{path}: {what}. Now:",
            f"  $EDITOR {path}",
            *understand,
            f"  make plan {ending}       what it would run, and what that costs",
            f"  make compare {ending}    run it, and show what it changed",
            f"Other settings than the constitution: {place / experiments.SETTINGS}",
        ]
    )


def _found(options: argparse.Namespace, settings: Settings) -> str:
    """The comparison as text, and where its page is."""
    experiments.check_name(options.name, "NAME")
    page = Path(settings.results, "comparisons", f"{options.against}--{options.name}.html")
    data = page.with_suffix(".json")
    fail_if(
        not data.is_file(),
        f"{data}: no such file: make compare EXPERIMENT={options.name} makes it",
    )
    return f"{comparison_page.plain(read_json(data))}\n\nThe page: {page}"


if __name__ == "__main__":
    cli.run(main)
