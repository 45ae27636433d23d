# Step 6. PPO: the critic serves the rewards and learns the values, the actor learns the policy.
#
# Requires sl_cai.nemo, reward_model.nemo and the prompts of rl_cai/. Makes rl_cai.nemo.


rule rl_cai:
    input:
        reward_model=rules.reward_model.output.nemo,
        model=rules.sl_cai.output.nemo,
        train=rules.rl_dataset.output.train_prompts,
        test=rules.rl_dataset.output.test_prompts,
    output:
        nemo="<results>/rl_cai.nemo",
        manifest="<results>/rl_cai.manifest.json",
        metrics="<results>/rl_cai.metrics.csv",
    log:
        job="<results>/logs/rl_cai.log",
        nemo="<results>/logs/rl_cai.actor.log",
        critic="<results>/logs/rl_cai.actor.critic.log",
    benchmark:
        "<results>/benchmarks/rl_cai.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch_actor,
        critic_launch=launch_critic,
        keep_steps=keeping("rl_cai"),
        work=f"{WORK}/rl_cai",
        critic=literal(programs.critic(settings)),
        critic_files=named({START: "reward_model"}),
        actor=literal(programs.actor(settings)),
        actor_files=named({START: "model", DATA: PARTS_OF_DATA}),
    shell:
        "python scripts/training/train.py --what rl_cai --name megatron_gpt_ppo_actor --work {params.work:q}"
        " --output {output.nemo:q} --log {log.nemo:q} --inputs {input:q}"
        " --launch {params.launch:q} --critic-launch {params.critic_launch:q} {params.keep_steps:q}"
        " -- {params.critic:q} {params.critic_files:q}"
        " -- {params.actor:q} {params.actor_files:q}"
        " 2>&1 | tee {log.job:q}"
