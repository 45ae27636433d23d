# The datasets for other trainers: `snakemake export`.
#
# Requires the datasets of SFT and of the RL stage, and what the judge said.
# Makes export/README.md, the dataset card, and export/{sft,preferences,prompts}/*.parquet.
from cai.data.export import export_card


rule export:
    input:
        sft_train=rules.sl_dataset.output.train,
        sft_validation=rules.sl_dataset.output.validation,
        train_prompts=rules.rl_dataset.output.train_prompts,
        train_comparisons=rules.rl_dataset.output.train_comparisons,
        test_prompts=rules.rl_dataset.output.test_prompts,
        test_comparisons=rules.rl_dataset.output.test_comparisons,
        preferences=collect(rules.preferences.output.data, shard=SHARDS),
    output:
        card="<results>/export/README.md",
        sft=collect("<results>/export/sft/{part}.parquet", part=["train", "validation"]),
        preferences=collect("<results>/export/preferences/{part}.parquet", part=PARTS),
        prompts=collect("<results>/export/prompts/{part}.parquet", part=PARTS),
        ledgers=collect(
            "<results>/export/{dataset}.ledger.json",
            dataset=["sft", "preferences", "prompts"],
        ),
        manifest="<results>/export/README.manifest.json",
    log:
        "<results>/logs/export.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        preferences=folded("preferences"),
        template=CHAT,
        principles=literal(principles["preference"]),
        made_from=literal(export_card.origins(settings)),
    shell:
        "python scripts/export/export_datasets.py --sft-train {input.sft_train:q}"
        " --sft-validation {input.sft_validation:q}"
        " --train-prompts {input.train_prompts:q} --train-comparisons {input.train_comparisons:q}"
        " --test-prompts {input.test_prompts:q} --test-comparisons {input.test_comparisons:q}"
        " --preferences {params.preferences:q} --template {params.template:q}"
        " --principles {params.principles:q} --made-from {params.made_from:q}"
        " --card {output.card:q} 2>&1 | tee {log:q}"
