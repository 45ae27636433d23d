# Beyond the paper: over-refusal and evasiveness, what each principle does, leakage, warnings.
#
# Requires the evaluation's answers, the revisions and judgements, XSTest where it is configured.
# Makes evaluation/{leakage,warnings}.json and figures/{over_refusal,principles}.*.

CHECK_FIGURES = collect(
    "<results>/figures/{figure}.svg",
    figure=["over_refusal", "principles", "human_preferences"],
)


use rule answers as xstest_answers with:
    input:
        prompts="<results>/evaluation/sets/xstest.jsonl",
        model=lookup("{model}", within=ANY_MODEL),
        exported=lookup("{model}", within=EXPORTED),
    output:
        data="<results>/evaluation/xstest/{model}.jsonl",
        ledger="<results>/evaluation/xstest/{model}.ledger.json",
    log:
        job="<results>/logs/xstest_answers/{model}.log",
        nemo="<results>/logs/xstest_answers/{model}.nemo.log",
    benchmark:
        "<results>/benchmarks/xstest_answers/{model}.tsv"
    params:
        **asking(own_journal("xstest_answers-{model}"), role_of_model),


rule over_refusal:
    input:
        answers=collect(rules.answers.output.data, model=MODELS),
        xstest=collect(
            rules.xstest_answers.output.data,
            model=MODELS if settings.evaluations.xstest else [],
        ),
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
        why=optional(
            "--why-no-xstest",
            (
                None
                if settings.evaluations.xstest
                else settings.evaluations.why_not("xstest")
            ),
        ),
    shell:
        "python scripts/checks/measure_refusals.py --answers {input.answers:q} --xstest {input.xstest:q}"
        " --truth {input.truth:q} {params.why:q} --output {output.svg:q}"
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
