# Step 7. Evaluation on held-out prompts: helpful-only, SL-CAI and the last stages (policies).
#
# Requires these models, the reward model, held-out red-team and helpful prompts, the judge.
# Makes evaluation/{prompts,answers/*,rewards/*,judged/*,truth/*}.jsonl, evaluation/summary.* and,
# with a classifier, rl_cai/calibration.json.

ANY_MODEL = {  # that can be asked for
    "helpful_only": f"{places.pretrained}/models/instruct.nemo",
    last_stages.START: f"{places.supervised}/{last_stages.START}.nemo",
    **{name: f"{places.results}/{name}.nemo" for name in last_stages.POLICIES},
}
EXPORTED = {
    name: servers.exported(settings, model) for name, model in ANY_MODEL.items()
}
# Those that are judged against the helpful-only model.
TRAINED = [last_stages.START, *settings.policies]
MODELS = {name: ANY_MODEL[name] for name in ["helpful_only", *TRAINED]}


rule evaluation_prompts:
    input:
        red_team=rules.red_team.output.test,
        helpful=preflight.evaluation_files(
            settings, rules.helpful_preferences.output.test_prompts
        ),
    output:
        data="<results>/evaluation/prompts.jsonl",
        ledger="<results>/evaluation/prompts.ledger.json",
        manifest="<results>/evaluation/prompts.manifest.json",
    log:
        "<results>/logs/evaluation_prompts.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        helpful=literal(
            preflight.helpful_prompts(
                settings, rules.helpful_preferences.output.test_prompts
            )
        ),
        limit=optional("--limit", settings.evaluation.limit),
        seed=settings.seed,
    shell:
        "python scripts/evaluation/build_evaluation_prompts.py --red-team {input.red_team:q} {params.helpful:q}"
        " {params.limit:q} --seed {params.seed:q} --output {output.data:q} 2>&1 | tee {log:q}"


rule answers:
    input:
        prompts=rules.evaluation_prompts.output.data,
        model=lookup("{model}", within=ANY_MODEL),
        exported=lookup("{model}", within=EXPORTED),
    output:
        data="<results>/evaluation/answers/{model}.jsonl",
        ledger="<results>/evaluation/answers/{model}.ledger.json",
        manifest="<results>/evaluation/answers/{model}.manifest.json",
    log:
        job="<results>/logs/answers/{model}.log",
        nemo="<results>/logs/answers/{model}.nemo.log",
    benchmark:
        "<results>/benchmarks/answers/{model}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **asking(journal(places.results, "answers-{model}"), role_of_model),
        seed=settings.seed,
        sampling=literal(settings.evaluation.answer.model_dump_json()),
        temperatures=[],
    shell:
        "python scripts/evaluation/answer.py --input {input.prompts:q} --output {output.data:q}"
        " --seed {params.seed:q} --sampling {params.sampling:q} {params.temperatures:q}"
        f" {ASK}"


rule harness:
    input:
        model=lookup("{model}", within=ANY_MODEL),
        exported=lookup("{model}", within=EXPORTED),
    output:
        data="<results>/evaluation/harness/{model}.json",
    log:
        job="<results>/logs/harness/{model}.log",
        nemo="<results>/logs/harness/{model}.nemo.log",
    benchmark:
        "<results>/benchmarks/harness/{model}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **asking(journal(places.results, "harness-{model}"), role_of_model),
        evaluation=literal(settings.evaluation.for_harness),
    shell:
        "python scripts/evaluation/run_harness.py --output {output.data:q}"
        " --evaluation {params.evaluation:q}"
        f" {ASK}"


rule harness_figure:
    input:
        results=collect(rules.harness.output.data, model=MODELS),
    output:
        svg=report(
            "<results>/figures/harness.svg",
            category="Evaluation",
            labels={"figure": "lm-evaluation-harness"},
        ),
        others=multiext("<results>/figures/harness", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/harness.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    shell:
        "python scripts/evaluation/plot_harness.py --results {input.results:q} --output {output.svg:q}"
        " 2>&1 | tee {log:q}"


rule rewards:
    input:
        answers=collect(rules.answers.output.data, model=MODELS),
        model=rules.reward_model.output.nemo,
    output:
        data=collect("<results>/evaluation/rewards/{model}.jsonl", model=MODELS),
        ledgers=collect(
            "<results>/evaluation/rewards/{model}.ledger.json", model=MODELS
        ),
        manifests=collect(
            "<results>/evaluation/rewards/{model}.manifest.json", model=MODELS
        ),
    log:
        job="<results>/logs/rewards.log",
        nemo="<results>/logs/rewards.nemo.log",
    benchmark:
        "<results>/benchmarks/rewards.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **scoring(journal(places.results, "rewards")),
    shell:
        "python scripts/evaluation/score_rewards.py --answers {input.answers:q} --output {output.data:q}"
        f" {SCORE}"


rule judged:
    input:
        **JUDGE_MODEL,
        answers=rules.answers.output.data,
        against="<results>/evaluation/answers/helpful_only.jsonl",
    output:
        data="<results>/evaluation/judged/{model}.jsonl",
        ledger="<results>/evaluation/judged/{model}.ledger.json",
        report="<results>/evaluation/judged/{model}.report.json",
        manifest="<results>/evaluation/judged/{model}.manifest.json",
    log:
        job="<results>/logs/judged/{model}.log",
        nemo="<results>/logs/judged/{model}.nemo.log",
    benchmark:
        "<results>/benchmarks/judged/{model}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **judging(settings, principles),
        **asking(journal(places.results, "judged-{model}"), "instruct"),
    shell:
        "python scripts/evaluation/judge_answers.py --input {input.answers:q} --against {input.against:q}"
        " --output {output.data:q}"
        f" {JUDGE} {ASK}"


rule truth:
    input:
        classifier=literal(settings.evaluation.classifier or []),
        answers=rules.answers.output.data,
    output:
        data="<results>/evaluation/truth/{model}.jsonl",
        ledger="<results>/evaluation/truth/{model}.ledger.json",
        manifest="<results>/evaluation/truth/{model}.manifest.json",
    log:
        "<results>/logs/truth/{model}.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    shell:
        "python scripts/evaluation/classify.py --answers {input.answers:q} --classifier {input.classifier:q}"
        " --output {output.data:q} 2>&1 | tee {log:q}"


rule calibration:
    input:
        classifier=literal(settings.evaluation.classifier or []),
        judged=collect(rules.preferences.output.data, shard=SHARDS),
        ledgers=collect(rules.preferences.output.ledger, shard=SHARDS),
    output:
        json="<preference>/rl_cai/calibration.json",
        manifest="<preference>/rl_cai/calibration.manifest.json",
    log:
        "<preference>/logs/calibration.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        judged=folded("judged"),
        ledgers=folded("ledgers"),
    shell:
        "python scripts/evaluation/calibrate_judge.py --judged {params.judged:q} --ledgers {params.ledgers:q}"
        " --classifier {input.classifier:q} --output {output.json:q} 2>&1 | tee {log:q}"


rule summary:
    input:
        answers=collect(rules.answers.output.data, model=MODELS),
        rewards=rules.rewards.output.data if settings.has_rewards else [],
        judged=collect(rules.judged.output.data, model=TRAINED),
        truth=collect(
            rules.truth.output.data,
            model=MODELS if settings.evaluation.classifier else [],
        ),
    output:
        json="<results>/evaluation/summary.json",
        csv="<results>/evaluation/summary.csv",
        md="<results>/evaluation/summary.md",
        manifest="<results>/evaluation/summary.manifest.json",
    log:
        "<results>/logs/summary.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        seed=settings.seed,
    shell:
        "python scripts/evaluation/summarise.py --answers {input.answers:q} --rewards {input.rewards:q}"
        " --judged {input.judged:q} --truth {input.truth:q} --seed {params.seed:q}"
        " --output {output.json:q} 2>&1 | tee {log:q}"
