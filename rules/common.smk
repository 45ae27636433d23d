# The configuration, checked once; the names that all rules share.
#
# A program is an input of the jobs that run it, so a mended one runs again. Not those that convert
# and train: an edit of them must not cost a training.
import sys
from contextlib import contextmanager
from pathlib import Path

# Jobs use the Python that runs Snakemake, and a pipe into a log does not hide a failure.
shell.prefix(f"set -euo pipefail; PATH={Path(sys.executable).parent}:$PATH; ")
sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from cai import cluster, nemo, preflight, sizing
from cai.errors import UserError
from cai.failures import Failures
from cai.launch import launch_of, split
from cai.paper import plan


def stop(problems):
    """Ends with one line for each problem, if there is any."""
    if problems:
        sys.exit("\n".join(f"error: {problem}" for problem in problems))


@contextmanager
def told():
    """A user's mistake is told in one line."""
    try:
        yield
    except UserError as error:
        stop([error])


with told():
    settings, principles, few_shot = preflight.check(config)


pathvars:
    results=settings.results,


wildcard_constraints:
    shard=r"\d+",
    model=r"helpful_only|sl_cai|rl_cai",
    pretrained=r"base|instruct",


def literal(text):
    """A param whose braces are not wildcards, such as JSON."""
    return lambda wildcards: text


def launch(wildcards, resources):
    """How NeMo's programs are started: the resources that the profile gives a job, as JSON.

    As a function of resources it is no reason to run a job again.
    """
    return launch_of(resources).model_dump_json(exclude_defaults=True)


def launch_critic(wildcards, resources):
    """The critic's part of PPO's resources."""
    return split(resources)[0].model_dump_json(exclude_defaults=True)


def launch_actor(wildcards, resources):
    """The actor's part of PPO's resources."""
    return split(resources)[1].model_dump_json(exclude_defaults=True)


def launch_policy(wildcards, resources):
    """The actor's part, and the steps whose checkpoints stay: no reason to train again either."""
    return [launch_actor(wildcards, resources), *plan.keep_steps(settings)]


# Names of parameters that several rules take. WORK is what jobs resume from: journals, checkpoints.
WORK = f"{settings.results}/work"
SHARDS = range(settings.shards)
SPLIT = ["--seed", settings.seed, "--test-fraction", settings.datasets.test_fraction]
CHAT = literal(settings.models.base.template.model_dump_json())
INSTRUCT = literal(settings.models.instruct.template.model_dump_json())
CLIENT = literal(settings.client.model_dump_json())


onsuccess:
    print(f"Finished. All that was made is in {settings.results}/.")


failed = Failures()
if workflow.is_main_process:
    failed.watch()


onerror:
    print(f"\n{failed.report()}", file=sys.stderr)
