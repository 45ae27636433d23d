# Step 1b. Datasets: red-team prompts, helpful dialogues, human comparisons of helpfulness.
#
# Requires the files or hub datasets that the configuration names, and the models' tokenizers.
# Makes data/red_team/{train,test}.jsonl, data/helpful_sft.jsonl and
# data/helpful_preferences/{train,test}.{prompts,comparisons}.jsonl.

# How records are split into train and test, and how many are read.
SPLIT = {
    "seed": settings.seed,
    "test_fraction": settings.datasets.test_fraction,
}
LIMITS = {
    "max_bad_share": settings.datasets.max_bad_share,
    "limit": optional("--limit", settings.datasets.limit),
}
READ = "--max-bad-share {params.max_bad_share:q} {params.limit:q}"
READ_AND_SPLIT = (
    f"--seed {{params.seed:q}} --test-fraction {{params.test_fraction:q}} {READ}"
)


rule red_team:
    input:
        files=literal(settings.datasets.red_team.files),
        held_out=ASKED_FILES,
        model="<pretrained>/models/instruct.nemo",
    output:
        train="<source>/data/red_team/train.jsonl",
        test="<source>/data/red_team/test.jsonl",
        ledger="<source>/data/red_team/train.ledger.json",
        manifests=collect("<source>/data/red_team/{part}.manifest.json", part=PARTS),
    log:
        "<source>/logs/red_team.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        **SPLIT,
        **LIMITS,
        source=literal(settings.datasets.red_team.model_dump_json()),
        max_tokens=settings.lengths.context - settings.supervised.response.max_tokens,
        chat=CHAT,
        instruct=INSTRUCT,
        held_out=HELD_OUT,
    shell:
        "python scripts/data/prepare_red_team.py --source {params.source:q}"
        f" {READ_AND_SPLIT}"
        " --template {params.chat:q} {params.instruct:q} --held-out-source {params.held_out:q}"
        " --tokenizer {input.model:q} --max-tokens {params.max_tokens:q} --train {output.train:q} --test {output.test:q} 2>&1 | tee {log:q}"


rule helpful_sft:
    input:
        files=literal(settings.datasets.helpful_sft.files),
    output:
        data="<source>/data/helpful_sft.jsonl",
        ledger="<source>/data/helpful_sft.ledger.json",
        manifest="<source>/data/helpful_sft.manifest.json",
    log:
        "<source>/logs/helpful_sft.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        **LIMITS,
        source=literal(settings.datasets.helpful_sft.model_dump_json()),
    shell:
        "python scripts/data/prepare_helpful_sft.py --source {params.source:q}"
        f" {READ}"
        " --output {output.data:q} 2>&1 | tee {log:q}"


rule helpful_preferences:
    input:
        files=literal(
            [
                path
                for source in settings.datasets.helpful_preferences
                for path in source.files
            ]
        ),
        evaluated=ASKED_FILES,
        held_out=rules.red_team.output.test,
        model="<pretrained>/models/base.nemo",
    output:
        train_prompts="<source>/data/helpful_preferences/train.prompts.jsonl",
        train_comparisons="<source>/data/helpful_preferences/train.comparisons.jsonl",
        test_prompts="<source>/data/helpful_preferences/test.prompts.jsonl",
        test_comparisons="<source>/data/helpful_preferences/test.comparisons.jsonl",
        ledger="<source>/data/helpful_preferences/train.comparisons.ledger.json",
        manifests=collect(
            "<source>/data/helpful_preferences/{part}.{kind}.manifest.json",
            part=PARTS,
            kind=KINDS,
        ),
    log:
        "<source>/logs/helpful_preferences.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        **SPLIT,
        **LIMITS,
        sources=literal(
            [
                source.model_dump_json()
                for source in settings.datasets.helpful_preferences
            ]
        ),
        template=CHAT,
        held_out=HELD_OUT,
        max_tokens=settings.lengths.rl,
    shell:
        "python scripts/data/prepare_preferences.py {params.sources:q} --template {params.template:q}"
        " --held-out {input.held_out:q} --held-out-source {params.held_out:q}"
        f" {READ_AND_SPLIT}"
        " --tokenizer {input.model:q} --max-tokens {params.max_tokens:q}"
        " --train-prompts {output.train_prompts:q} --train-comparisons {output.train_comparisons:q}"
        " --test-prompts {output.test_prompts:q} --test-comparisons {output.test_comparisons:q}"
        " 2>&1 | tee {log:q}"
