# Checked before any job is submitted: what the profile gives the jobs, against what they need.
# What this host may not see, such as a container on the nodes' own disks, is a warning in a dry run;
# a run is refused.
SUBMITTED = snakemake_internals.submitted(workflow)
with one_line_errors():
    GIVEN = {name: dag.resources(workflow, name) for name in sorted(SUBMITTED)}

with one_line_errors():
    code.watch(workflow)

if workflow.is_main_process:
    sparing.install()
    with one_line_errors():
        problems, warnings = cluster.check_jobs(settings, GIVEN)
    stop([*dag.unknown_rules(workflow, settings.estimates.jobs), *problems])
    for line in dict.fromkeys(map(origins.with_source, warnings)):
        print(f"warning: {line}", file=sys.stderr)
    if any(given.get("gres") for given in GIVEN.values()):
        sizes = sizing.table(settings, cluster.launches(settings, GIVEN))
        print(sizes, file=sys.stderr)


onstart:
    jobs = list(workflow.persistence.dag.needrun_jobs())
    with one_line_errors():
        stop(cluster.check_start(settings, GIVEN, {job.rule.name for job in jobs}))
        kept = before.keep(settings, [path for job in jobs for path in job.output])
    if kept:
        told = f"The report and the evaluation of the run before this edit: {kept}/"
        print(told, file=sys.stderr)
