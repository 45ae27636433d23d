# Another last stage. DPO: the policy learns from the comparisons themselves, without a reward model.
#
# Requires sl_cai.nemo and the comparisons of rl_cai/. Makes dpo_cai/{train,test}.jsonl, dpo_cai.nemo.


rule dpo_dataset:
    input:
        train_comparisons=rules.rl_dataset.output.train_comparisons,
        test_comparisons=rules.rl_dataset.output.test_comparisons,
        preferences=collect(rules.preferences.output.data, shard=SHARDS),
        model="<pretrained>/models/base.nemo",
    output:
        train="<results>/dpo_cai/train.jsonl",
        test="<results>/dpo_cai/test.jsonl",
        ledger="<results>/dpo_cai/train.ledger.json",
        manifests=collect("<results>/dpo_cai/{part}.manifest.json", part=PARTS),
    log:
        "<results>/logs/dpo_dataset.log",
    conda:
        "../envs/controller.yaml"
    params:
        preferences=folded("preferences"),
        template=CHAT,
        options=literal(preflight.dpo_options(settings)),
    shell:
        "python scripts/dpo/build_dpo_dataset.py --train-comparisons {input.train_comparisons:q}"
        " --test-comparisons {input.test_comparisons:q} --preferences {params.preferences:q}"
        " --train {output.train:q} --test {output.test:q} --template {params.template:q}"
        " --options {params.options:q} --tokenizer {input.model:q} 2>&1 | tee {log:q}"


rule dpo_cai:
    input:
        model=rules.sl_cai.output.nemo,
        train=rules.dpo_dataset.output.train,
        test=rules.dpo_dataset.output.test,
    output:
        nemo="<results>/dpo_cai.nemo",
        manifest="<results>/dpo_cai.manifest.json",
        metrics="<results>/dpo_cai.metrics.csv",
    log:
        job="<results>/logs/dpo_cai.log",
        nemo="<results>/logs/dpo_cai.nemo.log",
    benchmark:
        "<results>/benchmarks/dpo_cai.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch,
        keep_steps=keeping("dpo_cai"),
        work=f"{WORK}/dpo_cai",
        command=literal(programs.dpo(settings)),
        files=named({START: "model", DATA: PARTS_OF_DATA}),
    shell:
        "python scripts/training/train.py --what dpo_cai --name megatron_gpt_dpo --work {params.work:q}"
        " --output {output.nemo:q} --log {log.nemo:q} --inputs {input:q}"
        " --launch {params.launch:q} {params.keep_steps:q} -- {params.command:q} {params.files:q}"
        " 2>&1 | tee {log.job:q}"
