# Reward models of harmlessness and of helpfulness alone, for figures 2, 5, 6, 7 and 8.
#
# Requires sl_cai.nemo, the judgements and the human comparisons.
# Makes paper/reward_models/{harmless,helpful}.nemo.


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
    conda:
        "../../envs/controller.yaml"
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
    conda:
        "../../envs/controller.yaml"
    params:
        work=f"{WORK}/paper_reward_model/{{pm}}",
        command=literal(paper_runs.paper_reward_model(settings)),
