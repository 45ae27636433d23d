# The paper's figures that are computed from runs of our own models: 2, 5, 6, 7, 8, 10 and the
# appendix's tables. Nothing here belongs to the default target; each figure has its own chain.


# Snapshots: policies on the way of PPO (Fig. 2, 8, 10).
use rule rl_cai as rl_snapshots with:
    output:
        nemo="<results>/snapshots/rl_cai.nemo",
        manifest="<results>/snapshots/rl_cai.manifest.json",
        metrics="<results>/snapshots/rl_cai.metrics.csv",
    log:
        job="<results>/logs/rl_snapshots.log",
        nemo="<results>/logs/rl_snapshots.actor.log",
        critic="<results>/logs/rl_snapshots.actor.critic.log",
    benchmark:
        "<results>/benchmarks/rl_snapshots.tsv"
    params:
        launch=launch_snapshots,
        work=f"{WORK}/rl_snapshots",
        actor=literal(paper_runs.snapshot_actor(settings)),
        steps=STEPS,  # others are a reason to run again: they were not kept


SNAPSHOT_RUN = (
    rules.rl_cai if paper_runs.run_keeps_them(settings) else rules.rl_snapshots
)
POLICIES = {
    **{name: MODELS[name] for name in EVALUATED},
    **{str(step): f"{settings.results}/snapshots/rl_cai/{step}.nemo" for step in STEPS},
    "rl_cai": SNAPSHOT_RUN.output.nemo,
}
EXPORTED_POLICIES = {
    name: servers.exported(settings, model) for name, model in POLICIES.items()
}


rule snapshot:
    input:
        SNAPSHOT_RUN.output.nemo,
    output:
        nemo="<results>/snapshots/rl_cai/{step}.nemo",
        manifest="<results>/snapshots/rl_cai/{step}.manifest.json",
    log:
        "<results>/logs/snapshot/{step}.log",
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch,
        python=literal(settings.nemo.python),
        work=f"{WORK}/{SNAPSHOT_RUN.rule.name}",
    shell:
        "python scripts/launch.py --launch {params.launch:q}"
        " -- {params.python:q} scripts/convert_checkpoint_to_nemo.py {output.nemo:q}"
        " --work {params.work:q} --trained {input:q} --step {wildcards.step:q} 2>&1 | tee {log:q}"


# Elo by matches of these policies (Fig. 2, 8).
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
        "../envs/controller.yaml"
    params:
        most=settings.paper.elo.prompts,
    shell:
        "python scripts/paper/select_records.py --input {input.prompts:q} --output {output.data:q}"
        " --count {params.most:q} 2>&1 | tee {log:q}"


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
        "../envs/controller.yaml"
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
    params:
        journal=f"{WORK}/journal/snapshot_answers-{{policy}}.jsonl",
        template=CHAT,
        server=literal(servers.command(settings, "chat")),


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
        "../envs/controller.yaml"
    params:
        matches=settings.paper.elo.matches,
        seed=settings.seed,
    shell:
        "python scripts/paper/match_answers.py --answers {input.answers:q} --part {wildcards.part:q}"
        " --matches {params.matches:q} --seed {params.seed:q}"
        " --first {output.first:q} --second {output.second:q} 2>&1 | tee {log:q}"


use rule judged as matches_judged with:
    input:
        answers=rules.matches.output.first,
        against=rules.matches.output.second,
        model="<pretrained>/models/instruct.nemo",
        exported=servers.judge_exported(settings, "<pretrained>/models/instruct.nemo"),
    output:
        data="<results>/paper/elo/{part}.judged.jsonl",
        ledger="<results>/paper/elo/{part}.judged.ledger.json",
        report="<results>/paper/elo/{part}.judged.report.json",
    log:
        job="<results>/logs/matches_judged/{part}.log",
        nemo="<results>/logs/matches_judged/{part}.nemo.log",
    benchmark:
        "<results>/benchmarks/matches_judged/{part}.tsv"
    params:
        principles=branch(
            lambda wildcards: wildcards.part == "harmful",
            then=literal(principles["preference"]),
            otherwise=literal(paper_runs.helpfulness(settings)),
        ),
        journal=f"{WORK}/journal/matches_judged-{{part}}.jsonl",


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
    params:
        journal=f"{WORK}/journal/helpful_rewards.jsonl",


# What is known for certain of answers, where there is a classifier.
use rule truth as paper_truth with:
    input:
        classifier=literal(settings.evaluation.classifier or []),
        answers="<results>/paper/{texts}.jsonl",
    output:
        data="<results>/paper/truth/{texts}.jsonl",
        ledger="<results>/paper/truth/{texts}.ledger.json",
    log:
        "<results>/logs/paper_truth/{texts}.log",


BY_JUDGE = settings.paper.elo.helpfulness == "judge"


rule elo:
    input:
        judged=collect(
            rules.matches_judged.output.data,
            part=["harmful", "helpful"] if BY_JUDGE else ["harmful"],
        ),
        first=collect(
            rules.matches.output.first,
            part=["harmful", "helpful"] if BY_JUDGE else ["harmful"],
        ),
        second=collect(
            rules.matches.output.second,
            part=["harmful", "helpful"] if BY_JUDGE else ["harmful"],
        ),
        answers=ELO_ANSWERS,
        rewards=[] if BY_JUDGE else rules.helpful_rewards.output.data,
        truth=truth_of("elo/answers/{policy}", policy=POLICIES),
        metrics=SNAPSHOT_RUN.output.metrics,
    output:
        "<results>/paper/elo/elo.json",
    log:
        "<results>/logs/elo.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        options=figure_options("elo"),
        judge=settings.preferences.judge,
    shell:
        "python scripts/paper/fit_elo.py --policies {input.answers:q} --judged {input.judged:q}"
        " --first {input.first:q} --second {input.second:q} --rewards {input.rewards:q}"
        " --truth {input.truth:q} --metrics {input.metrics:q} --judge {params.judge:q}"
        " --options {params.options:q} --output {output:q} 2>&1 | tee {log:q}"


rule fig_elo:
    input:
        elo=rules.elo.output,
    output:
        svg=report(
            "<results>/figures/{figure}.svg",
            category="The paper's figures",
            labels={"figure": "{figure}"},
        ),
        others=multiext("<results>/figures/{figure}", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="fig02|fig08",
    localrule: True
    conda:
        "../envs/controller.yaml"
    shell:
        "python scripts/paper/plot_elo.py --elo {input.elo:q} --figure {wildcards.figure:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"


# Reward models of harmlessness and of helpfulness alone (Fig. 2, 5, 6, 7, 8).
use rule rl_dataset as harmless_comparisons with:
    output:
        train_prompts="<results>/paper/harmless/train.prompts.jsonl",
        train_comparisons="<results>/paper/harmless/train.comparisons.jsonl",
        test_prompts="<results>/paper/harmless/test.prompts.jsonl",
        test_comparisons="<results>/paper/harmless/test.comparisons.jsonl",
        ledgers=[
            "<results>/paper/harmless/train.comparisons.ledger.json",
            "<results>/paper/harmless/train.prompts.ledger.json",
        ],
    log:
        "<results>/logs/harmless_comparisons.log",
    params:
        options=literal(paper_runs.harmless_options(settings)),


COMPARISONS = {
    "harmless": rules.harmless_comparisons.output,
    "helpful": rules.helpful_preferences.output,
}


use rule reward_model as paper_reward_model with:
    input:
        model=rules.sl_cai.output.nemo,
        train=lambda wildcards: COMPARISONS[wildcards.pm].train_comparisons,
        test=lambda wildcards: COMPARISONS[wildcards.pm].test_comparisons,
    output:
        nemo="<results>/paper/reward_models/{pm}.nemo",
        manifest="<results>/paper/reward_models/{pm}.manifest.json",
        metrics="<results>/paper/reward_models/{pm}.metrics.csv",
    log:
        job="<results>/logs/paper_reward_model/{pm}.log",
        nemo="<results>/logs/paper_reward_model/{pm}.nemo.log",
    benchmark:
        "<results>/benchmarks/paper_reward_model/{pm}.tsv"
    wildcard_constraints:
        pm="harmless|helpful",
    params:
        work=f"{WORK}/paper_reward_model/{{pm}}",
        command=literal(paper_runs.paper_reward_model(settings)),


# Chains of revisions (Fig. 5, 6, 7).
rule chain_responses:
    """The helpful-only model's answers to held-out red-team prompts are revised."""
    input:
        answers="<results>/evaluation/answers/helpful_only.jsonl",
    output:
        data="<results>/paper/chains/responses.jsonl",
        ledger="<results>/paper/chains/responses.ledger.json",
    log:
        "<results>/logs/chain_responses.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        most=settings.paper.revisions.prompts,
    shell:
        "python scripts/paper/select_records.py --input {input.answers:q} --output {output.data:q} --sets harmful"
        " --count {params.most:q} --as-responses 2>&1 | tee {log:q}"


use rule revisions as chains with:
    input:
        responses=rules.chain_responses.output.data,
        model="<pretrained>/models/instruct.nemo",
        exported=servers.exported(settings, "<pretrained>/models/instruct.nemo"),
    output:
        data="<results>/paper/chains/{chain}.jsonl",
        ledger="<results>/paper/chains/{chain}.ledger.json",
    log:
        job="<results>/logs/chains/{chain}.log",
        nemo="<results>/logs/chains/{chain}.nemo.log",
    benchmark:
        "<results>/benchmarks/chains/{chain}.tsv"
    params:
        principles=chain_principles,
        # the dialogues show critiques, so direct revisions do without
        few_shot=branch(
            lambda wildcards: wildcards.chain == "direct",
            then=[],
            otherwise=literal(few_shot),
        ),
        rounds=branch(
            lambda wildcards: wildcards.chain == "direct",
            then=[settings.paper.revisions.rounds, "--direct"],
            otherwise=settings.paper.revisions.rounds,
        ),
        journal=f"{WORK}/journal/chains-{{chain}}.jsonl",


rule chain_texts:
    input:
        chains=rules.chains.output.data,
    output:
        data="<results>/paper/chains/texts/{chain}.jsonl",
        ledger="<results>/paper/chains/texts/{chain}.ledger.json",
    log:
        "<results>/logs/chain_texts/{chain}.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    shell:
        "python scripts/paper/chain_texts.py --input {input.chains:q} --output {output.data:q} 2>&1 | tee {log:q}"


REWARD_MODELS = {
    "harmless": f"{PAPER}/reward_models/harmless.nemo",
    "helpful": f"{PAPER}/reward_models/helpful.nemo",
    "combined": f"{settings.results}/reward_model.nemo",
}


use rule rewards as chain_rewards with:
    input:
        answers=rules.chain_texts.output.data,
        model=lookup("{pm}", within=REWARD_MODELS),
    output:
        data="<results>/paper/chains/rewards/{pm}/{chain}.jsonl",
        ledger="<results>/paper/chains/rewards/{pm}/{chain}.ledger.json",
    log:
        job="<results>/logs/chain_rewards/{pm}/{chain}.log",
        nemo="<results>/logs/chain_rewards/{pm}/{chain}.nemo.log",
    benchmark:
        "<results>/benchmarks/chain_rewards/{pm}/{chain}.tsv"
    params:
        journal=f"{WORK}/journal/chain_rewards-{{pm}}-{{chain}}.jsonl",


FIGURE_CHAINS = {
    "fig05": ["critiqued"],
    "fig06": [chain for chains in CHAINS.values() for chain in chains],
    "fig07": ["critiqued", "direct"],
}
FIGURE_MODELS = {
    "fig05": ["harmless", "helpful", "combined"],
    "fig06": ["harmless"],
    "fig07": ["harmless"],
}


rule fig_revisions:
    input:
        chains=lambda wildcards: collect(
            rules.chains.output.data, chain=FIGURE_CHAINS[wildcards.figure]
        ),
        texts=lambda wildcards: collect(
            rules.chain_texts.output.data, chain=FIGURE_CHAINS[wildcards.figure]
        ),
        rewards=lambda wildcards: collect(
            rules.chain_rewards.output.data,
            pm=FIGURE_MODELS[wildcards.figure],
            chain=FIGURE_CHAINS[wildcards.figure],
        ),
        truth=lambda wildcards: truth_of(
            "chains/texts/{chain}", chain=FIGURE_CHAINS[wildcards.figure]
        ),
    output:
        svg=report(
            "<results>/figures/{figure}.svg",
            category="The paper's figures",
            labels={"figure": "{figure}"},
        ),
        others=multiext("<results>/figures/{figure}", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="fig05|fig06|fig07",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        options=figure_options("revisions"),
        principles=len(principles["supervised"]),
    shell:
        "python scripts/paper/plot_revisions.py --figure {wildcards.figure:q} --chains {input.chains:q}"
        " --texts {input.texts:q} --rewards {input.rewards:q} --truth {input.truth:q}"
        " --principles {params.principles:q} --options {params.options:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"


# The absolute score of harm (Fig. 10).
rule ratings:
    input:
        files=literal(paper_runs.ratings(settings).files),
        model="<pretrained>/models/base.nemo",
    output:
        data="<results>/paper/harmfulness/ratings.jsonl",
        ledger="<results>/paper/harmfulness/ratings.ledger.json",
    log:
        "<results>/logs/ratings.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        source=literal(paper_runs.ratings(settings).model_dump_json()),
        split=SPLIT,
        limits=preflight.limits(settings, settings.lengths.rl),
    shell:
        "python scripts/paper/prepare_ratings.py --source {params.source:q} {params.split:q} {params.limits:q}"
        " --tokenizer {input.model:q} --output {output.data:q} 2>&1 | tee {log:q}"


use rule elo_prompts as harmfulness_prompts with:
    output:
        data="<results>/paper/harmfulness/prompts.jsonl",
        ledger="<results>/paper/harmfulness/prompts.ledger.json",
    log:
        "<results>/logs/harmfulness_prompts.log",
    params:
        most=[settings.paper.harmfulness.prompts, "--sets", "harmful"],


use rule answers as harmfulness_samples with:
    input:
        prompts=rules.harmfulness_prompts.output.data,
        model=lookup("{policy}", within=POLICIES),
        exported=lookup("{policy}", within=EXPORTED_POLICIES),
    output:
        data="<results>/paper/harmfulness/samples/{policy}.jsonl",
        ledger="<results>/paper/harmfulness/samples/{policy}.ledger.json",
    log:
        job="<results>/logs/harmfulness_samples/{policy}.log",
        nemo="<results>/logs/harmfulness_samples/{policy}.nemo.log",
    benchmark:
        "<results>/benchmarks/harmfulness_samples/{policy}.tsv"
    params:
        journal=f"{WORK}/journal/harmfulness-{{policy}}.jsonl",
        template=branch(
            lambda wildcards: wildcards.policy == "helpful_only", INSTRUCT, CHAT
        ),
        sampling=literal(paper_runs.harmfulness_sampling(settings)),
        server=branch(
            lambda wildcards: wildcards.policy == "helpful_only",
            servers.command(settings, "instruct"),
            servers.command(settings, "chat"),
        ),


SAMPLES = [f"{PAPER}/harmfulness/samples/{policy}.jsonl" for policy in POLICIES]


use rule rewards as harmfulness_rewards with:
    input:
        answers=[*SAMPLES, rules.ratings.output.data],
        model=rules.reward_model.output.nemo,
    output:
        data=collect(
            "<results>/paper/harmfulness/rewards/{name}.jsonl",
            name=[*POLICIES, "ratings"],
        ),
        ledgers=collect(
            "<results>/paper/harmfulness/rewards/{name}.ledger.json",
            name=[*POLICIES, "ratings"],
        ),
    log:
        job="<results>/logs/harmfulness_rewards.log",
        nemo="<results>/logs/harmfulness_rewards.nemo.log",
    benchmark:
        "<results>/benchmarks/harmfulness_rewards.tsv"
    params:
        journal=f"{WORK}/journal/harmfulness_rewards.jsonl",


rule fig_harmfulness:
    input:
        samples=SAMPLES,
        ratings=rules.ratings.output.data,
        rewards=rules.harmfulness_rewards.output.data,
        truth=truth_of("harmfulness/samples/{policy}", policy=POLICIES),
        metrics=SNAPSHOT_RUN.output.metrics,
    output:
        svg=report(
            "<results>/figures/fig10.svg",
            category="The paper's figures",
            labels={"figure": "fig10"},
        ),
        others=multiext("<results>/figures/fig10", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/fig10.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        options=figure_options("harmfulness"),
    shell:
        "python scripts/paper/plot_harmfulness.py --samples {input.samples:q} --ratings {input.ratings:q}"
        " --rewards {input.rewards:q} --truth {input.truth:q} --metrics {input.metrics:q}"
        " --options {params.options:q} --output {output.svg:q} 2>&1 | tee {log:q}"


# The appendix's tables.
rule fig_samples:
    input:
        answers=collect(rules.answers.output.data, model=MODELS),
    output:
        svg=report(
            "<results>/figures/appendix_samples.svg",
            category="The paper's figures",
            labels={"figure": "samples of each stage"},
        ),
        others=multiext("<results>/figures/appendix_samples", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/appendix_samples.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
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
            category="The paper's figures",
            labels={"figure": "critiques and revisions"},
        ),
        others=multiext("<results>/figures/appendix_chains", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/appendix_chains.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        options=figure_options("samples"),
    shell:
        "python scripts/paper/plot_samples.py --chains {input.chains:q} --options {params.options:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"


RUN_FIGURES = collect(
    "<results>/figures/{figure}.svg",
    figure=[
        "fig02",
        "fig05",
        "fig06",
        "fig07",
        "fig08",
        "fig10",
        "appendix_samples",
        "appendix_chains",
    ],
)
