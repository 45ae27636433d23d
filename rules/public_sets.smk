# The run's models on public evaluation sets: figures 4, 9, 11 and 12 of Bai et al. 2022, and the
# reward model's accuracy on human comparisons.
#
# Requires the sets that the configuration names, the models, the reward model and the judge.
# Makes evaluation/{sets,comparisons,choices}/* and
# figures/{fig04,fig09,fig11,fig12,human_preferences,reward_bench}.*.
from cai.workflow import public_runs

HHH_PRINCIPLES = public_runs.hhh_principles(settings, principles["preference"])
HHH_JUDGES = public_runs.judges(settings, len(HHH_PRINCIPLES))
HARM_SETS = ("harm_binary", "harm_kinds")
PUBLIC_FIGURES = collect(
    "<results>/figures/{figure}.svg", figure=["fig04", "fig09", "fig11", "fig12"]
)


wildcard_constraints:
    public="|".join(public_runs.SETS),
    method="|".join(public_runs.METHODS),
    compared="|".join(public_runs.COMPARED),


rule evaluation_set:
    input:
        files=lambda wildcards: getattr(settings.evaluations, wildcards.public).files,
        trained_on=[
            rules.red_team.output.train,
            rules.helpful_sft.output.data,
            rules.helpful_preferences.output.train_prompts,
        ],
    output:
        data="<results>/evaluation/sets/{public}.jsonl",
        ledger="<results>/evaluation/sets/{public}.ledger.json",
    log:
        "<results>/logs/evaluation_set/{public}.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        kind=lookup("{public}", within=public_runs.SETS),
        source=lambda wildcards: getattr(
            settings.evaluations, wildcards.public
        ).model_dump_json(),
        seed=settings.seed,
        max_bad_share=settings.datasets.max_bad_share,
        limit=optional("--limit", settings.evaluations.limit),
    shell:
        "python scripts/public_sets/prepare_evaluation_set.py --kind {params.kind:q} --source {params.source:q}"
        " --seed {params.seed:q} --max-bad-share {params.max_bad_share:q} {params.limit:q}"
        " --trained-on {input.trained_on:q} --output {output.data:q} 2>&1 | tee {log:q}"


rule comparison_rewards:
    input:
        comparisons=rules.evaluation_set.output.data,
        model=rules.reward_model.output.nemo,
    output:
        data="<results>/evaluation/comparisons/{public}.rewards.jsonl",
        ledger="<results>/evaluation/comparisons/{public}.rewards.ledger.json",
    log:
        job="<results>/logs/comparison_rewards/{public}.log",
        nemo="<results>/logs/comparison_rewards/{public}.nemo.log",
    benchmark:
        "<results>/benchmarks/comparison_rewards/{public}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **scoring(own_journal("comparison_rewards-{public}")),
    shell:
        "python scripts/public_sets/score_comparisons.py --input {input.comparisons:q} --output {output.data:q}"
        f" {SCORE}"


rule judged_comparisons:
    input:
        **JUDGE_MODEL,
        comparisons=rules.evaluation_set.output.data,
    output:
        data="<results>/evaluation/comparisons/{public}.{method}.jsonl",
        ledger="<results>/evaluation/comparisons/{public}.{method}.ledger.json",
    log:
        job="<results>/logs/judged_comparisons/{public}.{method}.log",
        nemo="<results>/logs/judged_comparisons/{public}.{method}.nemo.log",
    benchmark:
        "<results>/benchmarks/judged_comparisons/{public}.{method}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        # numbered like the shards of a stage, so that methods share the questions that they have in common
        **asking(
            lambda wildcards: own_journal(
                f"judged_comparisons-{wildcards.public}"
                f"-{list(public_runs.METHODS).index(wildcards.method)}"
            ),
            "instruct",
        ),
        principles=literal(HHH_PRINCIPLES),
        judge=lambda wildcards: HHH_JUDGES[wildcards.method].model_dump_json(),
        seed=settings.seed,
    shell:
        "python scripts/public_sets/judge_comparisons.py --input {input.comparisons:q} --output {output.data:q}"
        f" {JUDGE} {ASK}"


rule harm_choices:
    input:
        questions=rules.evaluation_set.output.data,
        model=lookup("{model}", within=ANY_MODEL),
        exported=lookup("{model}", within=EXPORTED),
    output:
        data="<results>/evaluation/choices/{public}.{model}.jsonl",
        ledger="<results>/evaluation/choices/{public}.{model}.ledger.json",
    log:
        job="<results>/logs/harm_choices/{public}.{model}.log",
        nemo="<results>/logs/harm_choices/{public}.{model}.nemo.log",
    benchmark:
        "<results>/benchmarks/harm_choices/{public}.{model}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **asking(own_journal("harm_choices-{public}-{model}"), role_of_model),
    shell:
        "python scripts/public_sets/choose_answers.py --input {input.questions:q} --output {output.data:q}"
        f" {ASK}"


rule hhh_figure:
    input:
        rewards=lambda wildcards: public_runs.rewards_of(
            settings, public_runs.COMPARED[wildcards.compared]
        ),
        judged=lambda wildcards: public_runs.judged_of(
            settings, public_runs.COMPARED[wildcards.compared], HHH_JUDGES
        ),
    output:
        svg=report(
            "<results>/figures/{compared}.svg",
            category="Paper",
            labels={"figure": "who recognises the better answer ({compared})"},
        ),
        others=multiext("<results>/figures/{compared}", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/{compared}.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        title=lookup("{compared}", within=public_runs.TITLES),
        missing=lambda wildcards: public_runs.missing(
            settings, public_runs.COMPARED[wildcards.compared]
        ),
        facts=lambda wildcards: public_runs.facts(
            settings, public_runs.COMPARED[wildcards.compared]
        ),
        seed=settings.seed,
    shell:
        "python scripts/public_sets/plot_public_sets.py hhh --title {params.title:q} --rewards {input.rewards:q}"
        " --judged {input.judged:q} --missing {params.missing:q} --facts {params.facts:q}"
        " --seed {params.seed:q} --output {output.svg:q} 2>&1 | tee {log:q}"


rule subset_figure:
    input:
        rewards=public_runs.rewards_of(settings, "reward_bench"),
    output:
        svg=report(
            "<results>/figures/reward_bench.svg",
            category="Checks",
            labels={"figure": "the reward model on public comparisons"},
        ),
        others=multiext("<results>/figures/reward_bench", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/reward_bench.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        title="Public comparisons: is the reward model right?",
        missing=literal(public_runs.missing(settings, "reward_bench")),
        facts=literal(public_runs.facts(settings, "reward_bench")),
        seed=settings.seed,
    shell:
        "python scripts/public_sets/plot_public_sets.py subsets --title {params.title:q} --rewards {input.rewards:q}"
        " --missing {params.missing:q} --facts {params.facts:q} --seed {params.seed:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"


rule calibration_figure:
    input:
        judged=public_runs.judged_of(settings, "hhh_438", HHH_JUDGES),
    output:
        svg=report(
            "<results>/figures/fig09.svg",
            category="Paper",
            labels={"figure": "calibration of the judge (fig09)"},
        ),
        others=multiext("<results>/figures/fig09", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/fig09.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        title="Calibration of the judge on HHH comparisons (Fig. 9)",
        missing=literal(public_runs.missing(settings, "hhh_438")),
        facts=literal(public_runs.facts(settings, "hhh_438")),
        seed=settings.seed,
    shell:
        "python scripts/public_sets/plot_public_sets.py calibration --title {params.title:q} --judged {input.judged:q}"
        " --missing {params.missing:q} --facts {params.facts:q} --seed {params.seed:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"


rule identification_figure:
    input:
        answers=collect(
            rules.harm_choices.output.data,
            public=public_runs.used(settings, *HARM_SETS),
            model=MODELS,
        ),
    output:
        svg=report(
            "<results>/figures/fig12.svg",
            category="Paper",
            labels={"figure": "harm identification (fig12)"},
        ),
        others=multiext("<results>/figures/fig12", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/fig12.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        title="Identification of harm (Fig. 12)",
        missing=literal(public_runs.missing(settings, *HARM_SETS)),
        facts=literal(public_runs.facts(settings, *HARM_SETS)),
        seed=settings.seed,
    shell:
        "python scripts/public_sets/plot_public_sets.py identification --title {params.title:q} --answers {input.answers:q}"
        " --missing {params.missing:q} --facts {params.facts:q} --seed {params.seed:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"
