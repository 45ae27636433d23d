# The paper's figures that are computed from runs of our own models: 2, 5, 6, 7, 8, 10 and the
# appendix's tables. Nothing here belongs to the default target; each figure has its own chain.
from cai.paper import plan

STAGES = list(MODELS)  # helpful-only, SL-CAI, RL-CAI
STEPS = settings.paper.snapshots.steps
POLICIES = plan.policies(settings)
CHAINS = plan.chains(settings, len(principles["supervised"]))
PAPER = f"{settings.results}/paper"


wildcard_constraints:
    step=r"\d+",
    policy=r"helpful_only|sl_cai|rl_cai|\d+",
    part="harmful|helpful",
    pm="harmless|helpful|combined",
    chain=r"critiqued|direct|principles-\d+-\d+",


def figure_options(figure):
    """What every figure's program is told of the run."""
    return literal(plan.figure_options(settings, figure))


# What a job is like: it has the resources of that rule, unless a profile names it itself.
LIKE = {
    "rl_snapshots": "rl_cai",
    "snapshot": "convert_model",
    "snapshot_answers": "answers",
    "matches_judged": "judged",
    "helpful_rewards": "rewards",
    "paper_reward_model": "reward_model",
    "chains": "revisions",
    "chain_rewards": "rewards",
    "harmfulness_samples": "answers",
    "harmfulness_rewards": "rewards",
}
for name, other in LIKE.items():
    given = workflow.resource_settings._parsed_overwrite_resources
    if other in given:
        given.setdefault(name, given[other])


# Snapshots: policies on the way of PPO (Fig. 2, 8, 10).
rule rl_snapshots:
    """PPO as in rl_cai, once more, because it keeps its checkpoints: only for figures."""
    input:
        reward_model=rules.reward_model.output.nemo,
        model=rules.sl_cai.output.nemo,
        train=rules.rl_dataset.output.train_prompts,
        test=rules.rl_dataset.output.test_prompts,
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
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch_actor,
        critic_launch=launch_critic,
        work=f"{WORK}/rl_snapshots",
        critic=nemo.critic(settings),
        actor=plan.snapshot_actor(settings),
        steps=STEPS,
    shell:
        "python scripts/train.py --what rl_snapshots --name megatron_gpt_ppo_actor"
        " --work {params.work} --keep-steps {params.steps}"
        " --output {output.nemo} --log {log.nemo} --inputs {input}"
        " --launch {params.launch:q} --critic-launch {params.critic_launch:q}"
        " -- {params.critic:q}"
        " pretrained_checkpoint.restore_from_path={input.reward_model}"
        " -- {params.actor:q}"
        " pretrained_checkpoint.restore_from_path={input.model}"
        " 'model.data.data_prefix={{train: [{input.train}], validation: [{input.test}],"
        " test: [{input.test}]}}'"
        " 2>&1 | tee {log.job}"


SNAPSHOT_RUN = rules.rl_cai if settings.paper.snapshots.during_run else rules.rl_snapshots


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
        python=settings.nemo.python,
        work=f"{WORK}/{SNAPSHOT_RUN.rule.name}",
    shell:
        "python scripts/launch.py --launch {params.launch:q}"
        " -- {params.python} scripts/convert_checkpoint_to_nemo.py {output.nemo}"
        " --work {params.work} --trained {input} --step {wildcards.step} 2>&1 | tee {log}"
