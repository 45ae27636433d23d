"""Inspect and clean the journals, where each generated answer is kept for reuse.

python scripts/journal.py stats                  what is stored, by stage
python scripts/journal.py verify                 what is wrong; exit code 1 if anything is
python scripts/journal.py prune --dry-run        what could be removed
python scripts/journal.py prune --older-than 90  remove what no run has used for 90 days
python scripts/journal.py forget --unreadable    remove a judge's unreadable answers

What the last finished run of a journal used is never removed, and nothing is removed while a job
writes to a journal of the stage. Without --older-than only superseded, copied and malformed lines
are removed. What was forgotten is asked again when its step runs again (snakemake --forcerun, if it
is finished).
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cai.asking.journal.entries import REFUSAL, UNREADABLE
from cai.asking.journal.forget import forgetting
from cai.asking.journal.upkeep import (
    Contents,
    forget,
    journals,
    of_no_use,
    prune,
    stages_of,
    verify,
)
from cai.core import cli
from cai.core.errors import UserError, fail_if
from cai.files.records import read_json
from cai.provenance.manifest import content_digest
from cai.settings.configuration import load_settings
from cai.workflow import command_line

COLUMNS = ("stage", "files", "entries", "in use", "lines", "MB", "last used", "samplings", "models")


def main() -> None:
    """Read the command line and do what it says for each stage."""
    options = _parser().parse_args()
    places = options.places if options.what == "forget" else [options.folder]
    places = [place for place in places if place is not None]
    fail_if(
        places and (options.configfile or options.profile),
        "give either a folder of journals or --configfile or --profile, not both",
    )
    places = places or [_folder_of(command_line.configuration(options))]
    if options.what == "forget":
        _forget(stages_of(places), options)
        return
    [folder] = places
    stages = stages_of([folder]) if folder.is_file() else journals(folder)
    print(f"{folder}: {sum(map(len, stages.values()))} journals of {len(stages)} stages")
    if options.what == "stats":
        _print_stats(folder, stages)
    elif options.what == "verify":
        _verify(stages)
    else:
        _prune(stages, options.older_than, options.dry_run)


def _parser() -> argparse.ArgumentParser:
    configured = argparse.ArgumentParser(add_help=False)
    command_line.add_configuration(configured)
    common = argparse.ArgumentParser(add_help=False, parents=[configured])
    common.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER",
        help="the journals' folder, or one journal of a stage (default: work/journal of the "
        "configuration's results)",
    )  # fmt: skip
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    for name, text in (("stats", "what there is, by stage"), ("verify", "what is wrong")):
        commands.add_parser(name, parents=[common], help=text, description=text)
    text = "throw away what is of no use"
    command = commands.add_parser("prune", parents=[common], help=text, description=text)
    command.add_argument(
        "--older-than", type=cli.positive, metavar="DAYS",
        help="also what no run has used for so many days, unless the last finished run used it",
    )  # fmt: skip
    command.add_argument("--dry-run", action="store_true", help="only print what would be removed")
    text = "remove useless answers, so that they are asked again"
    command = commands.add_parser("forget", parents=[configured], help=text, description=text)
    command.add_argument(
        "places", nargs="*", type=Path, metavar="JOURNAL",
        help="journals, each with those of its stage's other shards, or folders of journals "
        "(default: work/journal of the configuration's results)",
    )  # fmt: skip
    command.add_argument("--unreadable", action="store_true", help="what a judge said unreadably")
    command.add_argument("--refused", action="store_true", help="what a service refused to answer")
    command.add_argument("--dry-run", action="store_true", help="only print what would be removed")
    return parser


def _folder_of(configfiles: Sequence[str]) -> Path:
    return Path(load_settings(configfiles).results, "work/journal")


def _print_stats(place: Path, stages: dict[str, list[Path]]) -> None:
    names = dict(_models(place.parent if place.is_file() else place))
    table = [COLUMNS, *(_stats(stage, paths, names) for stage, paths in stages.items())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for stage, *numbers, models in table:
        cells = [stage.ljust(widths[0]), *map(str.rjust, numbers, widths[1:]), models]
        print("  ".join(cells))
    _print_unreadable(stages)


def _stats(stage: str, paths: Sequence[Path], names: dict[str, str]) -> tuple[str, ...]:
    files = [Contents(path) for path in paths]
    entries = {key: entry for contents in files for key, entry in contents.entries.items()}
    in_use = {key for contents in files for key in contents.in_use()}
    models = Counter(names.get(e.model, e.model or "not recorded") for e in entries.values())
    return (
        stage,
        str(len(files)),
        str(len(entries)),
        str(len(in_use)),
        str(sum(len(contents.entries) + contents.superseded for contents in files)),
        f"{sum(contents.size for contents in files) / 1e6:.2f}",
        max((entry.day for entry in entries.values()), default="-"),
        str(len({entry.sampling for entry in entries.values()})),
        ", ".join(f"{name} {count}" for name, count in models.most_common()),
    )


def _models(folder: Path) -> Iterator[tuple[str, str]]:
    """The names of the results' models by the beginning of their digests."""
    results = folder.parent.parent
    for path in [*results.glob("*.manifest.json"), *results.glob("models/*.manifest.json")]:
        yield (content_digest(read_json(path)) or "")[:12], path.name.removesuffix(".manifest.json")


def _verify(stages: dict[str, list[Path]]) -> None:
    problems = [text for paths in stages.values() for path in paths for text in verify(path)]
    for text in problems:
        print(text)
    _print_unreadable(stages)
    if problems:
        raise SystemExit(1)
    print("nothing is wrong")


def _print_unreadable(stages: dict[str, list[Path]]) -> None:
    """Name the answers of judges that cannot be read, and what has them asked again."""
    for stage, paths in stages.items():
        count = of_no_use(paths, UNREADABLE)
        if count:
            print(f"{stage}: {count} answers cannot be read; {forgetting(paths[:1])}")


def _forget(stages: dict[str, list[Path]], options: argparse.Namespace) -> None:
    uses = [use for use, on in ((UNREADABLE, options.unreadable), (REFUSAL, options.refused)) if on]
    fail_if(not uses, "say what is to be forgotten: --unreadable, --refused, or both")
    for stage, paths in stages.items():
        count = forget(paths, uses, dry_run=options.dry_run)
        print(f"{stage}: {count} answers {'would be removed' if options.dry_run else 'removed'}")
    if not options.dry_run:
        print("they are asked again when the step runs again")


def _prune(stages: dict[str, list[Path]], older_than: int | None, dry_run: bool) -> None:
    goes = "would be removed" if dry_run else "removed"
    names = ("superseded lines", "malformed lines", "copies", "entries too old")
    for stage, paths in stages.items():
        try:
            done = prune(paths, older_than, dry_run=dry_run)
        except UserError as error:
            print(f"{stage}: left as it is: {error}")
            continue
        counts = zip(names, done[1:-1], strict=True)
        what = ", ".join(f"{count} {name}" for name, count in counts if count) or "nothing"
        print(f"{stage}: {done.kept} entries kept; {goes}: {what} ({done.bytes_freed} bytes)")


if __name__ == "__main__":
    cli.run(main)
