# The run's models on public evaluation sets: figures 4, 9, 11 and 12 of Bai et al. 2022, and the
# reward model's accuracy on human comparisons.
from cai.digests import canonical_json
from cai.evaluation import judges as hhh

PUBLIC_SETS = {
    "hhh_438": "comparisons",
    "hhh_221": "comparisons",
    "hh_rlhf": "comparisons",
    "harm_binary": "questions",
    "harm_kinds": "questions",
    "xstest": "prompts",
}
HHH_FIGURES = {"fig04": "hhh_438", "fig11": "hhh_221", "human_preferences": "hh_rlhf"}
HHH_TITLES = {
    "fig04": "HHH evaluations: who tells the better answer (Fig. 4)",
    "fig11": "BIG-bench HHH: who tells the better answer (Fig. 11)",
    "human_preferences": "Human preferences: does the reward model share them?",
}
HHH_PRINCIPLES = hhh.hhh_principles(settings, principles["preference"])
HHH_JUDGES = hhh.judges(settings, len(HHH_PRINCIPLES))
JUDGED_SETS = ("hhh_438", "hhh_221")
EVALUATION_FIGURES = collect(
    "<results>/figures/{figure}.{kind}",
    figure=["fig04", "fig09", "fig11", "fig12"],
    kind=["svg", "csv", "json"],
)


wildcard_constraints:
    public="|".join(PUBLIC_SETS),
    method="|".join(hhh.METHODS),
    hhh="|".join(HHH_FIGURES),


def used(*names):
    """Those of the sets that the settings name."""
    return [name for name in names if not settings.evaluations.why_not(name)]


def missing(*names):
    """The sets that are not there, with why, as JSON."""
    why = {name: settings.evaluations.why_not(name) for name in names}
    return canonical_json({name: text for name, text in why.items() if text})


def missing_judges(name):
    """The set or the methods of judging that are not there, with why, as JSON."""
    why = {name: settings.evaluations.why_not(name)}
    if name in JUDGED_SETS:
        why |= {hhh.METHODS[each]: hhh.why_not(settings, each) for each in hhh.METHODS}
    return canonical_json({what: text for what, text in why.items() if text})


rule evaluation_set:
    input:
        program="scripts/prepare_evaluation_set.py",
        files=lambda wildcards: getattr(settings.evaluations, wildcards.public).files,
    output:
        data="<results>/evaluation/sets/{public}.jsonl",
        ledger="<results>/evaluation/sets/{public}.ledger.json",
    log:
        "<results>/logs/evaluation_set/{public}.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        kind=lookup("{public}", within=PUBLIC_SETS),
        source=lambda wildcards: getattr(
            settings.evaluations, wildcards.public
        ).model_dump_json(),
        options=[
            *(
                "--seed",
                settings.seed,
                "--max-bad-share",
                settings.datasets.max_bad_share,
            ),
            *(
                ["--limit", settings.evaluations.limit]
                if settings.evaluations.limit
                else []
            ),
        ],
    shell:
        "python {input.program} --kind {params.kind} --source {params.source:q} {params.options}"
        " --output {output.data} 2>&1 | tee {log}"


rule comparison_rewards:
    input:
        program="scripts/score_comparisons.py",
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
        launch=launch,
        journal=f"{WORK}/journal/comparison_rewards-{{public}}.jsonl",
        template=CHAT,
        length=settings.lengths.rl,
        server=nemo.reward_server(settings),
    shell:
        "python {input.program} --input {input.comparisons} --output {output.data}"
        " --model {input.model} --template {params.template:q} --max-tokens {params.length}"
        " --journal {params.journal} --log {log.nemo}"
        " --launch {params.launch:q} -- {params.server:q} rm_model_file={input.model}"
        " 2>&1 | tee {log.job}"


rule judged_comparisons:
    input:
        program="scripts/judge_comparisons.py",
        comparisons=rules.evaluation_set.output.data,
        model="<results>/models/instruct.nemo",
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
        launch=launch,
        principles=literal(HHH_PRINCIPLES),
        judge=lambda wildcards: HHH_JUDGES[wildcards.method].model_dump_json(),
        # numbered like the shards of a stage, so that methods share what they ask alike
        journal=lambda wildcards: (
            f"{WORK}/journal/judged_comparisons-{wildcards.public}"
            f"-{list(hhh.METHODS).index(wildcards.method)}.jsonl"
        ),
        template=INSTRUCT,
        seed=settings.seed,
        client=CLIENT,
        server=nemo.server(settings, "instruct"),
    shell:
        "python {input.program} --input {input.comparisons} --output {output.data}"
        " --model {input.model} --judge {params.judge:q} --principles {params.principles:q}"
        " --seed {params.seed} --template {params.template:q} --client {params.client:q}"
        " --journal {params.journal} --log {log.nemo}"
        " --launch {params.launch:q} -- {params.server:q} gpt_model_file={input.model}"
        " 2>&1 | tee {log.job}"


rule harm_choices:
    input:
        program="scripts/choose_answers.py",
        questions=rules.evaluation_set.output.data,
        model=lookup("{model}", within=MODELS),
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
        launch=launch,
        journal=f"{WORK}/journal/harm_choices-{{public}}-{{model}}.jsonl",
        template=branch(
            lambda wildcards: wildcards.model == "helpful_only", INSTRUCT, CHAT
        ),
        client=CLIENT,
        server=branch(
            lambda wildcards: wildcards.model == "helpful_only",
            nemo.server(settings, "instruct"),
            nemo.server(settings, "chat"),
        ),
    shell:
        "python {input.program} --input {input.questions} --output {output.data}"
        " --model {input.model} --template {params.template:q} --client {params.client:q}"
        " --journal {params.journal} --log {log.nemo}"
        " --launch {params.launch:q} -- {params.server:q} gpt_model_file={input.model}"
        " 2>&1 | tee {log.job}"


def figure_inputs(found):
    """What the reward model and the judge say of the comparisons of a set, if it is there."""
    if not used(found):
        return {"rewards": [], "judged": []}
    return {
        "rewards": f"{settings.results}/evaluation/comparisons/{found}.rewards.jsonl",
        "judged": [
            f"{settings.results}/evaluation/comparisons/{found}.{method}.jsonl"
            for method in (HHH_JUDGES if found in JUDGED_SETS else ())
        ],
    }


rule hhh_figure:
    input:
        unpack(lambda wildcards: figure_inputs(HHH_FIGURES[wildcards.hhh])),
        program="scripts/plot_paper_evaluation.py",
    output:
        svg=report(
            "<results>/figures/{hhh}.svg",
            category="Paper",
            labels={"figure": "HHH accuracy ({hhh})"},
        ),
        others=multiext("<results>/figures/{hhh}", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/{hhh}.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        title=lookup("{hhh}", within=HHH_TITLES),
        rewards=lambda wildcards, input: (
            ["--rewards", input.rewards] if input.rewards else []
        ),
        missing=lambda wildcards: missing_judges(HHH_FIGURES[wildcards.hhh]),
        facts=lambda wildcards: canonical_json(
            hhh.facts(settings, HHH_FIGURES[wildcards.hhh])
        ),
        seed=settings.seed,
    shell:
        "python {input.program} hhh --title {params.title:q} {params.rewards}"
        " --judged {input.judged} --missing {params.missing:q} --facts {params.facts:q}"
        " --seed {params.seed} --output {output.svg} 2>&1 | tee {log}"


rule calibration_figure:
    input:
        program="scripts/plot_paper_evaluation.py",
        judged=figure_inputs("hhh_438")["judged"],
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
        missing=literal(missing_judges("hhh_438")),
        facts=literal(canonical_json(hhh.facts(settings, "hhh_438"))),
        seed=settings.seed,
    shell:
        "python {input.program} calibration --title {params.title:q} --judged {input.judged}"
        " --missing {params.missing:q} --facts {params.facts:q} --seed {params.seed}"
        " --output {output.svg} 2>&1 | tee {log}"


rule identification_figure:
    input:
        program="scripts/plot_paper_evaluation.py",
        answers=collect(
            rules.harm_choices.output.data,
            public=used("harm_binary", "harm_kinds"),
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
        missing=literal(missing("harm_binary", "harm_kinds")),
        facts=literal(canonical_json(hhh.facts(settings, "harm_binary", "harm_kinds"))),
        seed=settings.seed,
    shell:
        "python {input.program} identification --title {params.title:q} --answers {input.answers}"
        " --missing {params.missing:q} --facts {params.facts:q} --seed {params.seed}"
        " --output {output.svg} 2>&1 | tee {log}"
