# An experiment and another run side by side: `snakemake compare --config experiment=NAME`, or
# `... against=OTHER`. The experiment is made where it is not finished; the other run is taken as it
# is, so that a comparison never makes a finished run again.


wildcard_constraints:
    a=experiments.NAME,
    b=experiments.NAME,


def files_of_both(wildcards):
    """What is read of the two runs: their reports' data, and what their models did."""
    with told():
        experiments.check_compared(config, at.base)
    folders = [experiments.folder(at.base, name) for name in wildcards]
    return [
        *collect("{folder}/report.json", folder=folders),
        *collect(
            "{folder}/evaluation/answers/{model}.jsonl", folder=folders, model=MODELS
        ),
    ]


rule comparison:
    input:
        program="scripts/compare.py",
        page=page_files("comparison"),
        runs=files_of_both,
    output:
        html=report(
            "<base>/comparisons/{a}--{b}.html",
            caption="captions/comparison.rst",
            category="Comparisons",
            labels={"a": "{a}", "b": "{b}"},
        ),
        others=multiext("<base>/comparisons/{a}--{b}", ".json", ".csv", ".figure.svg"),
    log:
        "<base>/logs/comparisons/{a}--{b}.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        folders=lambda wildcards: [
            experiments.folder(at.base, name) for name in wildcards
        ],
        seed=settings.seed,
    shell:
        "python {input.program} {params.folders} --names {wildcards.a} {wildcards.b}"
        " --seed {params.seed} --output {output.html} 2>&1 | tee {log}"


rule compare:
    input:
        "<base>/comparisons/{a}--{b}.html".format(
            a=config.get("against", experiments.BASE),
            b=config.get("experiment", experiments.BASE),
        ),
