# Figures 2 and 8: Elo scores by matches between the policies of the run.
#
# Requires the policies, the held-out prompts, the judge; a reward model of helpfulness where it
# decides. Makes paper/elo/* and figures/{fig02,fig08}.*.


rule elo_prompts:
    input:
        prompts=rules.evaluation_prompts.output.data,
    output:
        data="<results>/paper/elo/prompts.jsonl",
        ledger="<results>/paper/elo/prompts.ledger.json",
    log:
        "<results>/logs/elo_prompts.log",
    localrule: True
    conda:
        "../../envs/controller.yaml"
    params:
        most=settings.paper.elo.prompts,
        sets=[],
    shell:
        "python scripts/paper/select_records.py --input {input.prompts:q} --output {output.data:q}"
        " --count {params.most:q} {params.sets:q} 2>&1 | tee {log:q}"


rule stage_answers:
    """Answers that the evaluation has; RL-CAI's are those of the run that left the snapshots."""
    input:
        answers=rules.answers.output.data,
        prompts=rules.elo_prompts.output.data,
    output:
        data="<results>/paper/elo/answers/{model}.jsonl",
        ledger="<results>/paper/elo/answers/{model}.ledger.json",
    log:
        "<results>/logs/stage_answers/{model}.log",
    wildcard_constraints:
        model="|".join(EVALUATED),
    localrule: True
    conda:
        "../../envs/controller.yaml"
    shell:
        "python scripts/paper/select_records.py --input {input.answers:q} --output {output.data:q}"
        " --like {input.prompts:q} 2>&1 | tee {log:q}"


use rule answers as snapshot_answers with:
    input:
        prompts=rules.elo_prompts.output.data,
        model=lookup("{policy}", within=POLICIES),
        exported=lookup("{policy}", within=EXPORTED_POLICIES),
    output:
        data="<results>/paper/elo/answers/{policy}.jsonl",
        ledger="<results>/paper/elo/answers/{policy}.ledger.json",
    log:
        job="<results>/logs/snapshot_answers/{policy}.log",
        nemo="<results>/logs/snapshot_answers/{policy}.nemo.log",
    benchmark:
        "<results>/benchmarks/snapshot_answers/{policy}.tsv"
    wildcard_constraints:
        policy="|".join(sorted(set(POLICIES) - set(EVALUATED))),
    conda:
        "../../envs/controller.yaml"
    params:
        **asking(own_journal("snapshot_answers-{policy}"), "chat"),


ELO_ANSWERS = [f"{PAPER}/elo/answers/{policy}.jsonl" for policy in POLICIES]


rule matches:
    input:
        answers=ELO_ANSWERS,
    output:
        first="<results>/paper/elo/{part}.first.jsonl",
        second="<results>/paper/elo/{part}.second.jsonl",
    log:
        "<results>/logs/matches/{part}.log",
    localrule: True
    conda:
        "../../envs/controller.yaml"
    params:
        matches=settings.paper.elo.matches,
        seed=settings.seed,
    shell:
        "python scripts/paper/match_answers.py --answers {input.answers:q} --part {wildcards.part:q}"
        " --matches {params.matches:q} --seed {params.seed:q}"
        " --first {output.first:q} --second {output.second:q} 2>&1 | tee {log:q}"


use rule judged as matches_judged with:
    input:
        **JUDGE_MODEL,
        answers=rules.matches.output.first,
        against=rules.matches.output.second,
    output:
        data="<results>/paper/elo/{part}.judged.jsonl",
        ledger="<results>/paper/elo/{part}.judged.ledger.json",
        report="<results>/paper/elo/{part}.judged.report.json",
    log:
        job="<results>/logs/matches_judged/{part}.log",
        nemo="<results>/logs/matches_judged/{part}.nemo.log",
    benchmark:
        "<results>/benchmarks/matches_judged/{part}.tsv"
    conda:
        "../../envs/controller.yaml"
    params:
        **asking(own_journal("matches_judged-{part}"), "instruct"),
        principles=branch(
            lambda wildcards: wildcards.part == "harmful",
            then=literal(principles["preference"]),
            otherwise=literal(paper_runs.helpfulness(settings)),
        ),


use rule rewards as helpful_rewards with:
    input:
        answers=ELO_ANSWERS,
        model="<results>/paper/reward_models/helpful.nemo",
    output:
        data=collect("<results>/paper/elo/rewards/{policy}.jsonl", policy=POLICIES),
        ledgers=collect(
            "<results>/paper/elo/rewards/{policy}.ledger.json", policy=POLICIES
        ),
    log:
        job="<results>/logs/helpful_rewards.log",
        nemo="<results>/logs/helpful_rewards.nemo.log",
    benchmark:
        "<results>/benchmarks/helpful_rewards.tsv"
    conda:
        "../../envs/controller.yaml"
    params:
        **scoring(own_journal("helpful_rewards")),


BY_JUDGE = settings.paper.elo.helpfulness == "judge"
JUDGED_PARTS = ["harmful", "helpful"] if BY_JUDGE else ["harmful"]


rule elo:
    input:
        judged=collect(rules.matches_judged.output.data, part=JUDGED_PARTS),
        first=collect(rules.matches.output.first, part=JUDGED_PARTS),
        second=collect(rules.matches.output.second, part=JUDGED_PARTS),
        answers=ELO_ANSWERS,
        rewards=[] if BY_JUDGE else rules.helpful_rewards.output.data,
        truth=truth_of("elo/answers/{policy}", policy=POLICIES),
        metrics=SNAPSHOT_RUN.output.metrics,
        dpo_metrics=(DPO_RUN.output.metrics if paper_runs.has_dpo(settings) else []),
    output:
        "<results>/paper/elo/elo.json",
    log:
        "<results>/logs/elo.log",
    localrule: True
    conda:
        "../../envs/controller.yaml"
    params:
        options=figure_options("elo"),
        judge=settings.preferences.judge,
    shell:
        "python scripts/paper/fit_elo.py --policies {input.answers:q} --judged {input.judged:q}"
        " --first {input.first:q} --second {input.second:q} --rewards {input.rewards:q}"
        " --truth {input.truth:q} --metrics {input.metrics:q} --dpo-metrics {input.dpo_metrics:q}"
        " --judge {params.judge:q}"
        " --options {params.options:q} --output {output:q} 2>&1 | tee {log:q}"


rule fig_elo:
    input:
        elo=rules.elo.output,
    output:
        svg=report(
            "<results>/figures/{figure}.svg",
            category="Paper",
            labels={"figure": "{figure}"},
        ),
        others=multiext("<results>/figures/{figure}", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="fig02|fig08",
    localrule: True
    conda:
        "../../envs/controller.yaml"
    shell:
        "python scripts/paper/plot_elo.py --elo {input.elo:q} --figure {wildcards.figure:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"
