# The appendix's tables: answers of each stage, and critiques with their revisions.
#
# Requires the evaluation's answers and the chains of revisions.
# Makes figures/{appendix_samples,appendix_chains}.*.


rule fig_samples:
    input:
        answers=collect(rules.answers.output.data, model=MODELS),
    output:
        svg=report(
            "<results>/figures/appendix_samples.svg",
            category="Paper",
            labels={"figure": "samples of each stage"},
        ),
        others=multiext("<results>/figures/appendix_samples", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/appendix_samples.log",
    localrule: True
    conda:
        "../../envs/controller.yaml"
    params:
        options=figure_options("samples"),
    shell:
        "python scripts/paper/plot_samples.py --answers {input.answers:q} --options {params.options:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"


rule fig_chains:
    input:
        chains=f"{PAPER}/chains/critiqued.jsonl",
    output:
        svg=report(
            "<results>/figures/appendix_chains.svg",
            category="Paper",
            labels={"figure": "critiques and revisions"},
        ),
        others=multiext("<results>/figures/appendix_chains", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/appendix_chains.log",
    localrule: True
    conda:
        "../../envs/controller.yaml"
    params:
        options=figure_options("samples"),
    shell:
        "python scripts/paper/plot_samples.py --chains {input.chains:q} --options {params.options:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"
