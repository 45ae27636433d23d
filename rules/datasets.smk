# Step 1b. Datasets: red-team prompts, helpful dialogues, human comparisons of helpfulness.


rule red_team:
    input:
        program="scripts/prepare_red_team.py",
        files=settings.datasets.red_team.files,
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
        source=literal(settings.datasets.red_team.model_dump_json()),
        split=SPLIT,
        limits=preflight.limits(
            settings,
            settings.lengths.context - settings.supervised.response.max_tokens,
        ),
        chat=CHAT,
        instruct=INSTRUCT,
        held_out=HELD_OUT,
    shell:
        "python {input.program} --source {params.source:q} {params.split} {params.limits}"
        " --template {params.chat:q} {params.instruct:q} --held-out-source {params.held_out:q}"
        " --tokenizer {input.model} --train {output.train} --test {output.test} 2>&1 | tee {log}"


rule helpful_sft:
    input:
        program="scripts/prepare_helpful_sft.py",
        files=settings.datasets.helpful_sft.files,
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
        source=literal(settings.datasets.helpful_sft.model_dump_json()),
        limits=preflight.limits(settings),
    shell:
        "python {input.program} --source {params.source:q} {params.limits}"
        " --output {output.data} 2>&1 | tee {log}"


rule helpful_preferences:
    input:
        program="scripts/prepare_preferences.py",
        files=[
            path
            for source in settings.datasets.helpful_preferences
            for path in source.files
        ],
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
        sources=[
            source.model_dump_json()
            for source in settings.datasets.helpful_preferences
        ],
        template=CHAT,
        held_out=HELD_OUT,
        split=SPLIT,
        limits=preflight.limits(settings, settings.lengths.rl),
    shell:
        "python {input.program} {params.sources:q} --template {params.template:q}"
        " --held-out {input.held_out} --held-out-source {params.held_out:q}"
        " {params.split} {params.limits} --tokenizer {input.model}"
        " --train-prompts {output.train_prompts} --train-comparisons {output.train_comparisons}"
        " --test-prompts {output.test_prompts} --test-comparisons {output.test_comparisons}"
        " 2>&1 | tee {log}"
