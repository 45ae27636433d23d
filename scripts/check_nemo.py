#!/usr/bin/env python
"""Check NeMo where the jobs will find it, before the first of them waits for a GPU.

    check_nemo.py --commands JSON --output REPORT [--image NAME]

Runs with the Python of NeMo, such as the container's, and needs no GPU. The programs must exist,
and their own Hydra configurations must take the overrides that the jobs give them. With --imports,
what they import is imported, in a process of its own, and where they write is written: a folder
that is read-only in the container is reported here, not by the first job that has waited for GPUs.
Other versions than those that this project is written for are a warning, and so is an import that
fails for another reason, which may be the missing GPU.
"""

import argparse
import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cai.core.errors import UserError, fail_if
from cai.nemo.composition import check, filled, flat, register_resolvers

PACKAGES = {  # distribution: (folder of package_info.py in a checkout, the version that is meant)
    "nemo_toolkit": ("nemo", "2.1.0"),
    "nemo_aligner": ("nemo_aligner", "0.7.0"),
    "megatron_core": ("megatron/core", None),
    "torch": ("torch", None),
}
VERSION = re.compile(r"^(?:MAJOR|MINOR|PATCH|PRE_RELEASE)\s*=\s*['\"]?(\w*)", re.MULTILINE)
RUNNERS = ("hydra_runner", "entry_point")  # decorators that name a program's configuration
IMPORTED = ("nemo", "nemo_aligner", "megatron", "pytriton")  # packages that write, or need much
PATIENCE = 900.0  # seconds for all imports; a container on a busy file system takes its time
UNWRITABLE = ("EROFS", "EACCES", "EPERM", "ENOTDIR", "ENOSPC", "EDQUOT")  # of errno
# Imports modules and reports each that failed: its name, the error, and the error's number.
IMPORT = """
import errno, importlib, json, os, sys
failed = []
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except BaseException as error:
        code = errno.errorcode.get(getattr(error, "errno", None), "")
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        failed.append([name, type(error).__name__ + ": " + str(error), code, missing])
written = {"HOME": os.path.expanduser("~")}
for module, name in [("nemo.collections.nlp.models.nlp_model", "NEMO_NLP_TMP"),
                     ("pytriton.constants", "PYTRITON_HOME")]:
    if module in sys.modules and hasattr(sys.modules[module], name):
        written[name] = str(getattr(sys.modules[module], name))
print("\\n" + json.dumps([failed, written]), flush=True)
os._exit(0)
"""
ALWAYS = ["hydra.output_subdir=null", "hydra/job_logging=stdout", "hydra.run.dir=."]


def installed(package: str) -> str | None:
    """The version of a package, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return _version_in_folder(PACKAGES[package][0])


def _version_in_folder(folder: str) -> str | None:
    """The version of a package that is on the path, but was never installed."""
    top, *rest = folder.split("/")
    found = importlib.util.find_spec(top)
    for place in (found and found.submodule_search_locations) or []:
        info = Path(place, *rest, "package_info.py")
        if info.is_file():
            major, minor, patch, *pre = VERSION.findall(info.read_text("utf-8"))
            return f"{major}.{minor}.{patch}{''.join(pre)}"
    return None


def unexpected(versions: dict[str, str | None]) -> Iterator[str]:
    """A line for each package that has another version than the one that is meant."""
    for package, (_, meant) in PACKAGES.items():
        found = versions[package]
        if meant and found != meant:
            yield f"{package}: this project is written for {meant}, found {found or 'none'}"


def configuration(program: Path) -> Path | None:
    """The file that a program's decorator names; None if it names none."""
    for node in ast.walk(ast.parse(program.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in RUNNERS:
            given = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
            name = given.get("config_name") or ast.literal_eval(node.args[-1])
            return Path(program.parent, given.get("config_path", "conf"), f"{name}.yaml")
    return None


def compose(path: Path, overrides: Sequence[str]) -> Any:
    """What Hydra makes of a configuration, as NeMo's programs call it."""
    import hydra

    register_resolvers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with hydra.initialize_config_dir(str(path.parent.resolve()), version_base="1.1"):
            return hydra.compose(path.stem, overrides=[*ALWAYS, *overrides])


def problems(program: Path, overrides: Sequence[str]) -> Iterator[str]:
    """A line for each reason why a program could not start with these overrides."""
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not program.is_file():
        yield f"{program}: no such file here"
        return
    path = configuration(program)
    if path is None or not path.is_file():
        yield f"{program}: found no configuration {path.name if path else 'that it names'}"
        return
    try:
        composed: Any = OmegaConf.to_container(compose(path, []))
        own: Any = OmegaConf.load(path)
        groups = own.get("defaults", [])
        refused = check({**composed, "defaults": groups}, overrides, path.name)
        yield from (f"{program.name}: {problem}" for problem in refused)
        if not refused:
            composed = OmegaConf.to_container(compose(path, overrides))
            missing = [key for key, value in flat(composed) if value == "???"]
            yield from (f"{program.name}: {key}: must be given, is not" for key in missing)
    except (HydraException, OmegaConfBaseException) as error:
        yield f"{program.name}: {' '.join(str(error).split())}"


def imports(program: Path) -> Iterator[str]:
    """The modules of NeMo that a program imports, wherever it does so."""
    for node in ast.walk(ast.parse(program.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        yield from (name for name in names if name.partition(".")[0] in IMPORTED)


def tried(programs: Sequence[str]) -> tuple[list[str], list[str]]:
    """Import what programs import, and write where they write.

    Returns:
        What would stop the programs, too, and what may be due to this host; a line each.
    """
    modules = dict.fromkeys(name for program in programs for name in imports(Path(program)))
    command = [sys.executable, "-c", IMPORT, json.dumps(list(modules))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return [], [f"NeMo's imports took more than {PATIENCE:g} s here"]
    try:
        failed, folders = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return [], [f"NeMo's imports ended with code {done.returncode} here: {last}"]
    first = {
        message: (module, message, *why) for module, message, *why in reversed(failed)
    }.values()
    sure = [f"{module}: {message}" for module, message, *why in first if _is_sure(*why)]
    unsure = [
        f"{module}: {' '.join(message.split())[:300]}: cannot be imported here, where there may be "
        "no GPU"
        for module, message, *why in first
        if not _is_sure(*why)
    ]
    written = {**folders, "TMPDIR": tempfile.gettempdir()}
    return [*sure, *filter(None, [unwritable(*each) for each in written.items()])], unsure


def _is_sure(code: str, missing: str | None) -> bool:
    """Whether an import fails on every machine: a folder is read-only, or NeMo is missing."""
    return code in UNWRITABLE or (missing or "").partition(".")[0] in IMPORTED


def unwritable(name: str, folder: str) -> str | None:
    """Why a folder cannot be written to; None if it can."""
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{name}: {folder}: NeMo's programs write there: {error.strerror}"


def read_commands(text: str) -> list[list[str]]:
    """The commands of ``--commands``: JSON, or the path of a file with JSON."""
    try:
        commands = json.loads(text if text.lstrip().startswith("[") else Path(text).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"option commands: {error}") from None
    if not isinstance(commands, list) or not all(
        isinstance(command, list) and len(command) > 1 and all(isinstance(a, str) for a in command)
        for command in commands
    ):
        raise UserError("option commands: expected a JSON list of [PYTHON, PROGRAM, OVERRIDE, ...]")
    return commands


def main() -> None:
    """Read the command line, check, write the report."""
    options = _parser().parse_args()
    commands = read_commands(options.commands)
    fail_if(
        not importlib.util.find_spec("hydra"), f"{sys.executable}: hydra is not installed there"
    )
    versions = {package: installed(package) for package in PACKAGES}
    warned = list(unexpected(versions))
    for line in warned:
        print(f"warning: {line}", file=sys.stderr)
    found: dict[str, None] = {}  # without repetition: one program is in several commands
    for _, program, *overrides in map(filled, commands):
        found |= dict.fromkeys(problems(Path(program), overrides))
    fail_if(found, "\nerror: ".join(found))
    programs = sorted({program for _, program, *_ in commands})
    stopping, unsure = tried(programs) if options.imports else ([], [])
    fail_if(stopping, "\nerror: ".join(stopping))
    for line in unsure:
        print(f"warning: {line}", file=sys.stderr)
    report = {
        "image": options.image,
        "python": sys.executable,
        "versions": versions,
        "programs": programs,
        "warnings": [*warned, *unsure],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    partial = options.output.with_name(f".{options.output.name}.partial")
    partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, options.output)
    print(f"{len(programs)} programs of NeMo take their overrides: {options.output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--commands",
        required=True,
        metavar="JSON",
        help="[[PYTHON, PROGRAM, OVERRIDE, ...], ...] or a file with it; words that the launcher "
        "fills in, such as FREE_PORT, may be in it",
    )
    parser.add_argument("--output", required=True, type=Path, help="report to write (JSON)")
    parser.add_argument("--image", help="name of the container's image, for the report")
    parser.add_argument(
        "--imports",
        action="store_true",
        help="import what the programs import, write where they do",
    )
    return parser


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
