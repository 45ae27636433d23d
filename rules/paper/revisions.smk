# Figures 5, 6 and 7: what each round of critique and revision does to the rewards.
#
# Requires the helpful-only model's answers to held-out red-team prompts, and the reward models.
# Makes paper/chains/* and figures/{fig05,fig06,fig07}.*.

CHAINS = paper_runs.chains(settings, len(principles["supervised"]))


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
        "../../envs/controller.yaml"
    params:
        most=settings.paper.revisions.prompts,
    shell:
        "python scripts/paper/select_records.py --input {input.answers:q} --output {output.data:q} --sets harmful"
        " --count {params.most:q} --as-responses 2>&1 | tee {log:q}"


use rule revisions as chains with:
    input:
        **INSTRUCT_MODEL,
        responses=rules.chain_responses.output.data,
    output:
        data="<results>/paper/chains/{chain}.jsonl",
        ledger="<results>/paper/chains/{chain}.ledger.json",
    log:
        job="<results>/logs/chains/{chain}.log",
        nemo="<results>/logs/chains/{chain}.nemo.log",
    benchmark:
        "<results>/benchmarks/chains/{chain}.tsv"
    conda:
        "../../envs/controller.yaml"
    params:
        **asking(own_journal("chains-{chain}"), "instruct"),
        principles=lambda wildcards: paper_runs.principles_of(
            wildcards.chain, principles["supervised"], settings.seed
        ),
        # the dialogues show critiques, so direct revisions do without
        few_shot=branch(
            lambda wildcards: wildcards.chain == "direct",
            then=[],
            otherwise=literal(few_shot),
        ),
        rounds=settings.paper.revisions.rounds,
        direct=branch(
            lambda wildcards: wildcards.chain == "direct",
            then="--direct",
            otherwise=[],
        ),


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
        "../../envs/controller.yaml"
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
    conda:
        "../../envs/controller.yaml"
    params:
        **scoring(own_journal("chain_rewards-{pm}-{chain}")),


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
            category="Paper",
            labels={"figure": "{figure}"},
        ),
        others=multiext("<results>/figures/{figure}", ".png", ".csv", ".json"),
    log:
        "<results>/logs/figures/{figure}.log",
    wildcard_constraints:
        figure="fig05|fig06|fig07",
    localrule: True
    conda:
        "../../envs/controller.yaml"
    params:
        options=figure_options("revisions"),
        principles=len(principles["supervised"]),
    shell:
        "python scripts/paper/plot_revisions.py --figure {wildcards.figure:q} --chains {input.chains:q}"
        " --texts {input.texts:q} --rewards {input.rewards:q} --truth {input.truth:q}"
        " --principles {params.principles:q} --options {params.options:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"
