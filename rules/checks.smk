# Beyond the paper: over-refusal and evasiveness, graded answers, what each principle does, leakage,
# warnings.
#
# Requires the evaluation's answers, the revisions and judgements, and sets of safe and unsafe
# prompts where they are configured. Makes evaluation/{xstest,or_bench_hard,sorry_bench,harmbench}/*,
# evaluation/{leakage,warnings}.json and figures/{over_refusal,grades,principles}.*.

CHECK_FIGURES = collect(
    "<results>/figures/{figure}.svg",
    figure=[
        "over_refusal",
        "grades",
        "principles",
        "human_preferences",
        "reward_bench",
    ],
)
PROMPT_SETS = public_runs.used(settings, *public_runs.PROMPT_SETS)
with one_line_errors():
    RUBRIC = public_runs.rubric_of(settings)


wildcard_constraints:
    asked="|".join(public_runs.PROMPT_SETS),


use rule answers as set_answers with:
    input:
        prompts="<results>/evaluation/sets/{asked}.jsonl",
        model=lookup("{model}", within=ANY_MODEL),
        exported=lookup("{model}", within=EXPORTED),
    output:
        data="<results>/evaluation/{asked}/{model}.jsonl",
        ledger="<results>/evaluation/{asked}/{model}.ledger.json",
    log:
        job="<results>/logs/set_answers/{asked}.{model}.log",
        nemo="<results>/logs/set_answers/{asked}.{model}.nemo.log",
    benchmark:
        "<results>/benchmarks/set_answers/{asked}.{model}.tsv"
    params:
        **asking(own_journal("{asked}_answers-{model}"), role_of_model),


SET_ANSWERS = collect(rules.set_answers.output.data, asked=PROMPT_SETS, model=MODELS)


rule graded:
    input:
        **JUDGE_MODEL,
        answers=rules.set_answers.output.data,
    output:
        data="<results>/evaluation/{asked}/{model}.grades.jsonl",
        ledger="<results>/evaluation/{asked}/{model}.grades.ledger.json",
    log:
        job="<results>/logs/graded/{asked}.{model}.log",
        nemo="<results>/logs/graded/{asked}.{model}.nemo.log",
    benchmark:
        "<results>/benchmarks/graded/{asked}.{model}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **asking(own_journal("graded-{asked}-{model}"), "instruct"),
        judge=literal(settings.judge.model_dump_json()),
        rubric=literal(RUBRIC.model_dump_json() if RUBRIC else ""),
    shell:
        "python scripts/checks/grade_answers.py --input {input.answers:q} --output {output.data:q}"
        " --judge {params.judge:q} --rubric {params.rubric:q}"
        f" {ASK}"


rule grades_figure:
    input:
        graded=collect(
            rules.graded.output.data,
            asked=PROMPT_SETS if RUBRIC else [],
            model=MODELS,
        ),
        answers=SET_ANSWERS if RUBRIC else [],
    output:
        svg=report(
            "<results>/figures/grades.svg",
            category="Checks",
            labels={"figure": "answers graded by the judge"},
        ),
        others=multiext("<results>/figures/grades", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/grades.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        rubric=literal(
            optional("--rubric", RUBRIC.model_dump_json() if RUBRIC else None)
        ),
        missing=literal(
            public_runs.missing(settings, *public_runs.PROMPT_SETS, public_runs.RUBRIC)
        ),
        facts=literal(public_runs.facts(settings, *public_runs.PROMPT_SETS)),
    shell:
        "python scripts/checks/plot_grades.py --graded {input.graded:q} --answers {input.answers:q}"
        " {params.rubric:q} --missing {params.missing:q} --facts {params.facts:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"


rule over_refusal:
    input:
        answers=collect(rules.answers.output.data, model=MODELS),
        to_sets=SET_ANSWERS,
        truth=collect(
            rules.truth.output.data,
            model=MODELS if settings.evaluation.classifier else [],
        ),
    output:
        svg=report(
            "<results>/figures/over_refusal.svg",
            category="Checks",
            labels={"figure": "refusals and evasions"},
        ),
        others=multiext("<results>/figures/over_refusal", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/over_refusal.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        missing=literal(public_runs.missing(settings, *public_runs.PROMPT_SETS)),
    shell:
        "python scripts/checks/measure_refusals.py --answers {input.answers:q} --to-sets {input.to_sets:q}"
        " --truth {input.truth:q} --missing {params.missing:q} --output {output.svg:q}"
        " 2>&1 | tee {log:q}"


rule principles:
    input:
        chains=collect(rules.revisions.output.data, shard=SHARDS),
        preferences=collect(rules.preferences.output.data, shard=SHARDS),
        # chains whose texts the reward model has scored: how each principle moves the reward
        scored="<results>/paper/chains/critiqued.jsonl",
        scores="<results>/paper/chains/rewards/combined/critiqued.jsonl",
        # judged under all principles: where these disagree
        together=(
            public_runs.judged_of(settings, "hhh_221", HHH_JUDGES)
            if not settings.evaluations.principle
            else []
        ),
    output:
        svg=report(
            "<results>/figures/principles.svg",
            category="Checks",
            labels={"figure": "what each principle does"},
        ),
        others=multiext("<results>/figures/principles", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/principles.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        chains=folded("chains"),
        preferences=folded("preferences"),
        seed=settings.seed,
    shell:
        "python scripts/checks/report_principles.py --chains {params.chains:q} --preferences {params.preferences:q}"
        " --scored {input.scored:q} --scores {input.scores:q}"
        " --together {input.together:q} --seed {params.seed:q} --output {output.svg:q} 2>&1 | tee {log:q}"


rule leakage:
    input:
        held_out=rules.evaluation_prompts.output.data,
        train=[
            rules.red_team.output.train,
            rules.sl_dataset.output.train,
            rules.rl_dataset.output.train_prompts,
        ],
    output:
        "<results>/evaluation/leakage.json",
    log:
        "<results>/logs/leakage.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        template=CHAT,
    shell:
        "python scripts/checks/check_leakage.py --held-out {input.held_out:q} --train {input.train:q}"
        " --template {params.template:q} --output {output:q} 2>&1 | tee {log:q}"


rule stage_warnings:
    input:
        chains=collect(rules.revisions.output.data, shard=SHARDS),
        answers=collect(rules.answers.output.data, model=MODELS),
        rewards=rules.summary.input.rewards,
        summary=rules.summary.output.json,
        leakage=rules.leakage.output,
    output:
        "<results>/evaluation/warnings.json",
    log:
        "<results>/logs/stage_warnings.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        chains=folded("chains"),
        seed=settings.seed,
    shell:
        "python scripts/checks/write_warnings.py --chains {params.chains:q} --answers {input.answers:q}"
        " --rewards {input.rewards:q} --summary {input.summary:q} --leakage {input.leakage:q}"
        " --seed {params.seed:q} --output {output:q} 2>&1 | tee {log:q}"
