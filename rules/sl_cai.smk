# Steps 2 and 3. Supervised stage: respond, critique and revise by the constitution, fine-tune.
#
# Requires the red-team prompts, the helpful dialogues, both pretrained models.
# Makes sl_cai/{responses,revisions}/*.jsonl, sl_cai/{train,validation}.jsonl and sl_cai.nemo.


rule responses:
    input:
        **INSTRUCT_MODEL,
        prompts=rules.red_team.output.train,
    output:
        data="<source>/sl_cai/responses/{shard}.jsonl",
        ledger="<source>/sl_cai/responses/{shard}.ledger.json",
        manifest="<source>/sl_cai/responses/{shard}.manifest.json",
    log:
        job="<source>/logs/responses/{shard}.log",
        nemo="<source>/logs/responses/{shard}.nemo.log",
    benchmark:
        "<source>/benchmarks/responses/{shard}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **asking(journal(places.source, "responses-{shard}"), "instruct"),
        shard=f"{{shard}}/{settings.shards}",
        seed=settings.seed,
        sampling=literal(settings.supervised.response.model_dump_json()),
        few_shot=literal(few_shot if settings.supervised.few_shot_first else []),
        context=optional(
            "--context",
            settings.lengths.context if settings.supervised.few_shot_first else None,
        ),
    shell:
        "python scripts/sl_cai/respond.py --input {input.prompts:q} --output {output.data:q}"
        " --shard {params.shard:q} --seed {params.seed:q} --sampling {params.sampling:q}"
        " --few-shot {params.few_shot:q} {params.context:q}"
        f" {ASK}"


rule revisions:
    input:
        **INSTRUCT_MODEL,
        responses=rules.responses.output.data,
    output:
        data="<supervised>/sl_cai/revisions/{shard}.jsonl",
        ledger="<supervised>/sl_cai/revisions/{shard}.ledger.json",
        manifest="<supervised>/sl_cai/revisions/{shard}.manifest.json",
    log:
        job="<supervised>/logs/revisions/{shard}.log",
        nemo="<supervised>/logs/revisions/{shard}.nemo.log",
    benchmark:
        "<supervised>/benchmarks/revisions/{shard}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **asking(journal(places.supervised, "revisions-{shard}"), "instruct"),
        principles=literal(principles["supervised"]),
        few_shot=literal(few_shot),
        rounds=settings.supervised.rounds,
        direct=[],
        seed=settings.seed,
        critique=literal(settings.supervised.critique.model_dump_json()),
        revision=literal(settings.supervised.revision.model_dump_json()),
        context=settings.lengths.context,
    shell:
        "python scripts/sl_cai/revise.py --input {input.responses:q} --output {output.data:q}"
        " --principles {params.principles:q} --few-shot {params.few_shot:q}"
        " --rounds {params.rounds:q} {params.direct:q} --seed {params.seed:q}"
        " --critique-sampling {params.critique:q} --revision-sampling {params.revision:q}"
        " --tokenizer {input.model:q} --context {params.context:q}"
        f" {ASK}"


rule sl_dataset:
    input:
        revisions=collect(rules.revisions.output.data, shard=SHARDS),
        helpful=rules.helpful_sft.output.data,
        held_out=[
            rules.red_team.output.test,
            rules.helpful_preferences.output.test_prompts,
        ],
        evaluated=ASKED_FILES,
        model="<pretrained>/models/base.nemo",
    output:
        train="<supervised>/sl_cai/train.jsonl",
        validation="<supervised>/sl_cai/validation.jsonl",
        ledger="<supervised>/sl_cai/train.ledger.json",
        manifests=collect(
            "<supervised>/sl_cai/{part}.manifest.json", part=["train", "validation"]
        ),
    log:
        "<supervised>/logs/sl_dataset.log",
    conda:
        "../envs/controller.yaml"
    params:
        revisions=folded("revisions"),
        template=CHAT,
        options=literal(preflight.sl_options(settings)),
        held_out=HELD_OUT,
        length=settings.lengths.sft,
    shell:
        "python scripts/sl_cai/build_sl_dataset.py --revisions {params.revisions:q} --helpful {input.helpful:q}"
        " --held-out {input.held_out:q} --held-out-source {params.held_out:q}"
        " --train {output.train:q} --validation {output.validation:q} --template {params.template:q}"
        " --options {params.options:q} --tokenizer {input.model:q} --max-tokens {params.length:q}"
        " 2>&1 | tee {log:q}"


rule sl_cai:
    input:
        model="<pretrained>/models/base.nemo",
        train=rules.sl_dataset.output.train,
        validation=rules.sl_dataset.output.validation,
    output:
        nemo="<supervised>/sl_cai.nemo",
        manifest="<supervised>/sl_cai.manifest.json",
        metrics="<supervised>/sl_cai.metrics.csv",
    log:
        job="<supervised>/logs/sl_cai.log",
        nemo="<supervised>/logs/sl_cai.nemo.log",
    benchmark:
        "<supervised>/benchmarks/sl_cai.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch,
        work=f"{places.supervised}/work/sl_cai",
        command=literal(programs.sft(settings)),
        files=named(SFT_FILES),
    shell:
        "python scripts/training/train.py --what sl_cai --name megatron_gpt_sft --work {params.work:q}"
        " --output {output.nemo:q} --log {log.nemo:q} --inputs {input:q}"
        " --launch {params.launch:q} -- {params.command:q} {params.files:q}"
        " 2>&1 | tee {log.job:q}"
