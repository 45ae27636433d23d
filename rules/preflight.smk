# Checked before any job is submitted: what the profile gives the jobs, against what they need.
# What this host may not see, such as a container on the nodes' own disks, is a warning in a dry run;
# a run is refused.
from snakemake.iocontainers import InputFiles


def resources_of(rule):
    """What the profile gives a rule's jobs, whatever their wildcards."""
    return workflow.get_rule(rule).expand_resources({}, InputFiles(), attempt=1)


GIVEN = {rule.name: resources_of(rule.name) for rule in workflow.rules}

if workflow.is_main_process:
    with told():
        problems, warnings = cluster.check_jobs(settings, GIVEN)
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    stop(problems)


onstart:
    needed = {job.rule.name for job in workflow.persistence.dag.needrun_jobs()}
    with told():
        stop(cluster.check_start(settings, GIVEN, needed))
