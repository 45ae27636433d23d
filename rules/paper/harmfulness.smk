# Figure 10: the absolute score of harm, fitted to what people said of transcripts.
#
# Requires rated transcripts, the policies and the reward model.
# Makes paper/harmfulness/* and figures/fig10.*.


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
        "../../envs/controller.yaml"
    params:
        **SPLIT,
        **LIMITS,
        source=literal(paper_runs.ratings(settings).model_dump_json()),
        max_tokens=settings.lengths.rl,
    shell:
        "python scripts/paper/prepare_ratings.py --source {params.source:q}"
        f" {READ_AND_SPLIT}"
        " --tokenizer {input.model:q} --max-tokens {params.max_tokens:q} --output {output.data:q} 2>&1 | tee {log:q}"


use rule elo_prompts as harmfulness_prompts with:
    output:
        data="<results>/paper/harmfulness/prompts.jsonl",
        ledger="<results>/paper/harmfulness/prompts.ledger.json",
    log:
        "<results>/logs/harmfulness_prompts.log",
    localrule: True
    conda:
        "../../envs/controller.yaml"
    params:
        most=settings.paper.harmfulness.prompts,
        sets=optional("--sets", "harmful"),


use rule answers as harmfulness_samples with:
    input:
        prompts=rules.harmfulness_prompts.output.data,
        model=lookup("{policy}", within=PPO_POLICIES),
        exported=lookup("{policy}", within=EXPORTED_POLICIES),
    output:
        data="<results>/paper/harmfulness/samples/{policy}.jsonl",
        ledger="<results>/paper/harmfulness/samples/{policy}.ledger.json",
    log:
        job="<results>/logs/harmfulness_samples/{policy}.log",
        nemo="<results>/logs/harmfulness_samples/{policy}.nemo.log",
    benchmark:
        "<results>/benchmarks/harmfulness_samples/{policy}.tsv"
    conda:
        "../../envs/controller.yaml"
    params:
        **asking(
            own_journal("harmfulness-{policy}"),
            lambda wildcards: (
                "instruct" if wildcards.policy == "helpful_only" else "chat"
            ),
        ),
        temperatures=optional(
            "--temperatures", *paper_runs.harmfulness_temperatures(settings)
        ),


SAMPLES = [f"{PAPER}/harmfulness/samples/{policy}.jsonl" for policy in PPO_POLICIES]


use rule rewards as harmfulness_rewards with:
    input:
        answers=[*SAMPLES, rules.ratings.output.data],
        model=rules.reward_model.output.nemo,
    output:
        data=collect(
            "<results>/paper/harmfulness/rewards/{name}.jsonl",
            name=[*PPO_POLICIES, "ratings"],
        ),
        ledgers=collect(
            "<results>/paper/harmfulness/rewards/{name}.ledger.json",
            name=[*PPO_POLICIES, "ratings"],
        ),
    log:
        job="<results>/logs/harmfulness_rewards.log",
        nemo="<results>/logs/harmfulness_rewards.nemo.log",
    benchmark:
        "<results>/benchmarks/harmfulness_rewards.tsv"
    conda:
        "../../envs/controller.yaml"
    params:
        **scoring(own_journal("harmfulness_rewards")),


rule fig_harmfulness:
    input:
        samples=SAMPLES,
        ratings=rules.ratings.output.data,
        rewards=rules.harmfulness_rewards.output.data,
        truth=truth_of("harmfulness/samples/{policy}", policy=PPO_POLICIES),
        metrics=SNAPSHOT_RUN.output.metrics,
    output:
        svg=report(
            "<results>/figures/fig10.svg",
            category="Paper",
            labels={"figure": "fig10"},
        ),
        others=multiext("<results>/figures/fig10", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/fig10.log",
    localrule: True
    conda:
        "../../envs/controller.yaml"
    params:
        options=figure_options("harmfulness"),
    shell:
        "python scripts/paper/plot_harmfulness.py --samples {input.samples:q} --ratings {input.ratings:q}"
        " --rewards {input.rewards:q} --truth {input.truth:q} --metrics {input.metrics:q}"
        " --options {params.options:q} --output {output.svg:q} 2>&1 | tee {log:q}"
