# Another last stage. Best of n: SFT on the candidate of each prompt that the reward model likes best.
#
# Requires sl_cai.nemo, reward_model.nemo, the candidates of rl_cai/, the helpful dialogues.
# Makes best_of_n/answers/*.jsonl, best_of_n/{train,validation}.jsonl and best_of_n.nemo.


rule best_answers:
    input:
        candidates=rules.candidates.output.data,
        model=rules.reward_model.output.nemo,
    output:
        data="<results>/best_of_n/answers/{shard}.jsonl",
        ledger="<results>/best_of_n/answers/{shard}.ledger.json",
        manifest="<results>/best_of_n/answers/{shard}.manifest.json",
    log:
        job="<results>/logs/best_answers/{shard}.log",
        nemo="<results>/logs/best_answers/{shard}.nemo.log",
    benchmark:
        "<results>/benchmarks/best_answers/{shard}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **scoring(journal(places.results, "best_answers-{shard}")),
    shell:
        "python scripts/best_of_n/choose_answers_to_train_on.py --input {input.candidates:q}"
        " --output {output.data:q}"
        f" {SCORE}"


use rule sl_dataset as best_of_n_dataset with:
    input:
        **{
            **dict(rules.sl_dataset.input.items()),
            "revisions": collect(rules.best_answers.output.data, shard=SHARDS),
        },
    output:
        train="<results>/best_of_n/train.jsonl",
        validation="<results>/best_of_n/validation.jsonl",
        ledger="<results>/best_of_n/train.ledger.json",
        manifests=collect(
            "<results>/best_of_n/{part}.manifest.json", part=["train", "validation"]
        ),
    log:
        "<results>/logs/best_of_n_dataset.log",


rule best_of_n:
    input:
        model=rules.sl_cai.output.nemo,
        train=rules.best_of_n_dataset.output.train,
        validation=rules.best_of_n_dataset.output.validation,
    output:
        nemo="<results>/best_of_n.nemo",
        manifest="<results>/best_of_n.manifest.json",
        metrics="<results>/best_of_n.metrics.csv",
    log:
        job="<results>/logs/best_of_n.log",
        nemo="<results>/logs/best_of_n.nemo.log",
    benchmark:
        "<results>/benchmarks/best_of_n.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch,
        work=f"{WORK}/best_of_n",
        command=literal(programs.sft(settings)),
        files=named(SFT_FILES),
    shell:
        "python scripts/training/train.py --what best_of_n --name megatron_gpt_sft --work {params.work:q}"
        " --output {output.nemo:q} --log {log.nemo:q} --inputs {input:q}"
        " --launch {params.launch:q} -- {params.command:q} {params.files:q}"
        " 2>&1 | tee {log.job:q}"
