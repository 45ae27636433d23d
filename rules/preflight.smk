# Checked before any job is submitted: what the profile gives the jobs, against what they need.
# What this host may not see, such as a container on the nodes' own disks, is a warning in a dry run;
# a run is refused.
from snakemake.iocontainers import InputFiles


def resources_of(name):
    """What the profile gives a rule's jobs, whatever their wildcards."""
    return workflow.get_rule(name).expand_resources({}, InputFiles(), attempt=1)


SUBMITTED = {each.name for each in workflow.rules} - workflow._localrules
GIVEN = {name: resources_of(name) for name in sorted(SUBMITTED)}

if workflow.is_main_process:
    with told():
        problems, warnings = cluster.check_jobs(settings, GIVEN)
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    stop(problems)
    if any("gres" in given for given in GIVEN.values()):
        print(
            sizing.table(settings, cluster.launches(settings, GIVEN)), file=sys.stderr
        )


onstart:
    needed = {job.rule.name for job in workflow.persistence.dag.needrun_jobs()}
    needed |= {LIKE[name] for name in needed & LIKE.keys()}
    with told():
        stop(cluster.check_start(settings, GIVEN, needed))
