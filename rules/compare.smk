# An experiment and another run side by side: `snakemake compare --config experiment=NAME`, or
# `... against=OTHER`. The experiment is made where it is not finished; the other run is taken as it
# is, so that a comparison never makes a finished run again.
#
# Requires both runs' reports and answers, and the base run's judge.
# Makes comparisons/A--B.{html,json,csv} in the base run's folder.


wildcard_constraints:
    a=experiments.NAME,
    b=experiments.NAME,


FINAL = base.settings.policies[0]  # the policy that is judged


# The judge, the principles and the model of the base run: one yardstick for all experiments.
use rule judged as head_to_head with:
    input:
        answers=lambda wildcards: f"{folders_of(wildcards)[1]}/evaluation/answers/{FINAL}.jsonl",
        against=lambda wildcards: f"{folders_of(wildcards)[0]}/evaluation/answers/{FINAL}.jsonl",
        model="<base>/models/instruct.nemo",
        exported=servers.judge_exported(base.settings, "<base>/models/instruct.nemo"),
    output:
        data="<base>/comparisons/{a}--{b}.judged.jsonl",
        ledger="<base>/comparisons/{a}--{b}.judged.ledger.json",
        report="<base>/comparisons/{a}--{b}.judged.report.json",
        manifest="<base>/comparisons/{a}--{b}.judged.manifest.json",
    log:
        job="<base>/logs/head_to_head/{a}--{b}.log",
        nemo="<base>/logs/head_to_head/{a}--{b}.nemo.log",
    benchmark:
        "<base>/benchmarks/head_to_head/{a}--{b}.tsv"
    params:
        **judging(base.settings, base.principles),
        **asking(
            f"{places.base}/work/journal/head_to_head-{{a}}--{{b}}.jsonl",
            "instruct",
            base.settings,
        ),


rule comparison:
    input:
        page=["scripts/cai/report/comparison.html.j2", *PAGE],
        runs=files_of_both,
        judged=rules.head_to_head.output.data,
    output:
        html=report(
            "<base>/comparisons/{a}--{b}.html",
            caption="captions/comparison.rst",
            category="Comparisons",
            labels={"a": "{a}", "b": "{b}"},
        ),
        others=multiext("<base>/comparisons/{a}--{b}", ".json", ".csv"),
    log:
        "<base>/logs/comparisons/{a}--{b}.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        folders=folders_of,
        seed=settings.seed,
    shell:
        "python scripts/compare/compare_runs.py {params.folders:q} --names {wildcards.a:q} {wildcards.b:q}"
        " --judged {input.judged:q} --seed {params.seed:q} --output {output.html:q} 2>&1 | tee {log:q}"


rule compare:
    input:
        "<base>/comparisons/{a}--{b}.html".format(
            a=config.get("against", experiments.BASE),
            b=config.get("experiment", experiments.BASE),
        ),
