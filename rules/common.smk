# The configuration, checked once; the names that all rules share.
#
# A rule's `conda:` is for `--software-deployment-method conda`. Without that, the Python that runs
# Snakemake runs the jobs, and NeMo's programs run where the profile says.
#
# Every field of a `shell:` has `:q`: what a configuration says never reaches a shell as code. What a
# job runs is given to all rules at once, see cai/workflow/code.py.
import shlex
import sys
from pathlib import Path

from cai.running import job_lines

# Jobs use the Python that runs Snakemake, and a pipe into a log does not hide a failure.
BIN = (
    shlex.quote(str(Path(sys.executable).parent)).replace("{", "{{").replace("}", "}}")
)
# Where a run has one line a job, what a job prints is in its log alone, to which it goes anyway.
ONE_LINE = job_lines.are_wanted(workflow)
SILENT = "exec >/dev/null; " if ONE_LINE else ""
shell.prefix(f"set -euo pipefail; PATH={BIN}:$PATH; {SILENT}")

from cai.checks import cluster, preflight, rule_kinds, sizing
from cai.core import numbered, orphans
from cai.files import paths
from cai.models.own_template import as_option
from cai.nemo import programs
from cai.report import before
from cai.running import process
from cai.settings import last_stages
from cai.workflow import (
    code,
    dag,
    experiments,
    servers,
    snakemake_internals,
    sparing,
)
from cai.running.failures import Failures
from cai.running.launch import launch_of, split
from cai.workflow import paper_runs, policy_runs

stop(snakemake_internals.complaints())
dag.register(workflow)
dag.share_resources(workflow, rule_kinds.LIKE)


stop(paths.complaints(Path.cwd()))

with one_line_errors():
    # As Snakemake has it, less what belonged to a source that was changed.
    config.update(origins.merged())
    settings, principles, few_shot, places, base = experiments.check(config)
    origins = experiments.origins(origins, config)

orphans.announce()
process.keep_from_programs([getattr(settings.judge, "key_variable", None)])


# Where each part of the workflow has its files. All is in one folder, but for an experiment, which
# takes the parts that do not differ from the base run.
pathvars:
    pretrained=places.pretrained,
    source=places.source,
    supervised=places.supervised,
    candidates=places.candidates,
    preference=places.preference,
    results=places.results,
    base=places.base,


wildcard_constraints:
    shard=r"\d+",
    model="|".join(["helpful_only", last_stages.START, *last_stages.POLICIES]),
    pretrained=r"base|instruct",
    served="|".join(
        ["instruct", last_stages.START, "reward_model", *last_stages.POLICIES, r"\d+"]
    ),


def literal(value):
    """A param, or input files, whose braces are not wildcards."""
    return lambda wildcards: value


def named(places):
    """NeMo's overrides that name a job's inputs, see :func:`cai.nemo.programs.naming`."""
    return lambda wildcards, input: programs.naming(places, dict(input.items()))


def optional(option, *values):
    """A param: an option with its values, or nothing where these are not given."""
    given = [value for value in values if value is not None]
    return [option, *given] if given else []


def folded(name):
    """A param: a job's inputs of this name, those of all shards as one word each."""
    return lambda wildcards, input: numbered.folded(getattr(input, name))


def launch(wildcards, resources):
    """How NeMo's programs are started: the resources that the profile gives a job, as JSON.

    As a function of resources it is no reason to run a job again.
    """
    return launch_of(resources).model_dump_json(exclude_defaults=True)


def command(wildcards, resources):
    """What the user has typed, for the report; no reason to run a job again, like :func:`launch`."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


# What several rules take. WORK is what the last part's jobs resume from.
WORK = f"{places.results}/work"
SHARDS = range(settings.shards)
PARTS, KINDS = ["train", "test"], ["prompts", "comparisons"]
ASKED = preflight.held_out_sources(settings)
ASKED_FILES = literal([path for source in ASKED for path in source.files])
HELD_OUT = literal([source.model_dump_json() for source in ASKED])
CHAT = literal(settings.models.base.template.model_dump_json())
INSTRUCT = literal(as_option(settings.models.instruct.template))


def folders_of(wildcards):
    """The results folders of the two runs, once it is known that there are two."""
    with one_line_errors():
        experiments.check_compared(config, places.base, MODELS)
    return [
        experiments.folder(places.base, name) for name in (wildcards.a, wildcards.b)
    ]


def files_of_both(wildcards):
    """What is read of the two runs: their reports' data, and what their models did."""
    return collect(
        ["{folder}/report.json", "{folder}/evaluation/answers/{model}.jsonl"],
        folder=folders_of(wildcards),
        model=MODELS,
    )


if not ONE_LINE:

    onsuccess:
        print(f"Finished. All that was made is in {settings.results}/.")


failed = Failures()
if workflow.is_main_process:
    failed.watch()
if ONE_LINE:
    job_lines.JobLines().take_over()


onerror:
    print(f"\n{failed.report()}", file=sys.stderr)
