# Snapshots: policies on the way of PPO, for figures 2, 8 and 10; on the way of DPO, for 2 and 8.
#
# Requires what rl_cai (dpo_cai) requires; runs PPO (DPO) a second time unless the run itself keeps
# its checkpoints. Makes snapshots/{rl_cai,dpo_cai}/{step}.nemo.


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
    conda:
        "../../envs/controller.yaml"
    params:
        # others are a reason to run again: they were not kept
        keep_steps=optional("--keep-steps", *STEPS),
        work=f"{WORK}/rl_snapshots",
        actor=literal(paper_runs.snapshot_actor(settings)),


use rule dpo_cai as dpo_snapshots with:
    output:
        nemo="<results>/snapshots/dpo_cai.nemo",
        manifest="<results>/snapshots/dpo_cai.manifest.json",
        metrics="<results>/snapshots/dpo_cai.metrics.csv",
    log:
        job="<results>/logs/dpo_snapshots.log",
        nemo="<results>/logs/dpo_snapshots.nemo.log",
    benchmark:
        "<results>/benchmarks/dpo_snapshots.tsv"
    conda:
        "../../envs/controller.yaml"
    params:
        keep_steps=optional("--keep-steps", *DPO_STEPS),
        work=f"{WORK}/dpo_snapshots",
        command=literal(paper_runs.snapshot_dpo(settings)),


SNAPSHOT_RUN = (
    rules.rl_cai if paper_runs.run_keeps_them(settings) else rules.rl_snapshots
)
DPO_RUN = (
    rules.dpo_cai
    if paper_runs.run_keeps_them(settings, "dpo_cai")
    else rules.dpo_snapshots
)
PPO_POLICIES = {
    **{name: MODELS[name] for name in EVALUATED},
    **{str(step): f"{settings.results}/snapshots/rl_cai/{step}.nemo" for step in STEPS},
    "rl_cai": SNAPSHOT_RUN.output.nemo,
}
DPO_POLICIES = {
    **{
        f"dpo_{step}": f"{settings.results}/snapshots/dpo_cai/{step}.nemo"
        for step in DPO_STEPS
    },
    "dpo_cai": DPO_RUN.output.nemo,
}
POLICIES = {
    **PPO_POLICIES,
    **(DPO_POLICIES if paper_runs.has_dpo(settings) else {}),
    **{name: MODELS[name] for name in settings.policies if name == "best_of_n"},
}
EXPORTED_POLICIES = {
    name: servers.exported(settings, model) for name, model in POLICIES.items()
}


rule snapshot:
    input:
        checkpoints_of("rl_cai", SNAPSHOT_RUN),
    output:
        nemo="<results>/snapshots/rl_cai/{step}.nemo",
        manifest="<results>/snapshots/rl_cai/{step}.manifest.json",
    log:
        "<results>/logs/snapshot/{step}.log",
    conda:
        "../../envs/controller.yaml"
    params:
        launch=launch,
        python=literal(settings.nemo.python),
        work=f"{WORK}/{SNAPSHOT_RUN.rule.name}",
    shell:
        "python scripts/launch.py --launch {params.launch:q}"
        " -- {params.python:q} scripts/convert_checkpoint_to_nemo.py {output.nemo:q}"
        " --work {params.work:q} --trained {input:q} --step {wildcards.step:q} 2>&1 | tee {log:q}"


use rule snapshot as dpo_snapshot with:
    input:
        checkpoints_of("dpo_cai", DPO_RUN),
    output:
        nemo="<results>/snapshots/dpo_cai/{step}.nemo",
        manifest="<results>/snapshots/dpo_cai/{step}.manifest.json",
    log:
        "<results>/logs/dpo_snapshot/{step}.log",
    conda:
        "../../envs/controller.yaml"
    params:
        work=f"{WORK}/{DPO_RUN.rule.name}",
