# Step 5. The reward model, from the blend of AI and human comparisons.
#
# Requires sl_cai.nemo and the comparisons of rl_cai/. Makes reward_model.nemo.


rule reward_model:
    input:
        model=rules.sl_cai.output.nemo,
        train=rules.rl_dataset.output.train_comparisons,
        test=rules.rl_dataset.output.test_comparisons,
    output:
        nemo="<preference>/reward_model.nemo",
        manifest="<preference>/reward_model.manifest.json",
        metrics="<preference>/reward_model.metrics.csv",
    log:
        job="<preference>/logs/reward_model.log",
        nemo="<preference>/logs/reward_model.nemo.log",
    benchmark:
        "<preference>/benchmarks/reward_model.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch,
        work=f"{places.preference}/work/reward_model",
        command=literal(programs.reward_model(settings)),
        files=named({START: "model", DATA: PARTS_OF_DATA}),
    shell:
        "python scripts/training/train.py --what reward_model --name megatron_gpt --work {params.work:q}"
        " --output {output.nemo:q} --log {log.nemo:q} --inputs {input:q}"
        " --launch {params.launch:q} -- {params.command:q} {params.files:q}"
        " 2>&1 | tee {log.job:q}"
