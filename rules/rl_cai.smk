# Step 4. Preferences: candidates of SL-CAI, compared by the constitution, blended with helpfulness.
#
# Requires sl_cai.nemo, the red-team prompts, the human comparisons, the instruct model as the judge.
# Makes rl_cai/{candidates,preferences}/*.jsonl and rl_cai/{train,test}.{prompts,comparisons}.jsonl.


rule candidates:
    input:
        prompts=rules.red_team.output.train,
        model=rules.sl_cai.output.nemo,
        exported=servers.exported(settings, rules.sl_cai.output.nemo),
    output:
        data="<candidates>/rl_cai/candidates/{shard}.jsonl",
        ledger="<candidates>/rl_cai/candidates/{shard}.ledger.json",
        manifest="<candidates>/rl_cai/candidates/{shard}.manifest.json",
    log:
        job="<candidates>/logs/candidates/{shard}.log",
        nemo="<candidates>/logs/candidates/{shard}.nemo.log",
    benchmark:
        "<candidates>/benchmarks/candidates/{shard}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **asking(journal(places.candidates, "candidates-{shard}"), "chat"),
        shard=f"{{shard}}/{settings.shards}",
        seed=settings.seed,
        temperatures=settings.preferences.temperatures,
        sampling=literal(settings.preferences.candidate.model_dump_json()),
    shell:
        "python scripts/rl_cai/sample_candidates.py --input {input.prompts:q} --output {output.data:q}"
        " --shard {params.shard:q} --seed {params.seed:q}"
        " --temperatures {params.temperatures:q} --sampling {params.sampling:q}"
        f" {ASK}"


rule preferences:
    input:
        **JUDGE_MODEL,
        candidates=rules.candidates.output.data,
    output:
        data="<preference>/rl_cai/preferences/{shard}.jsonl",
        ledger="<preference>/rl_cai/preferences/{shard}.ledger.json",
        report="<preference>/rl_cai/preferences/{shard}.report.json",
        manifest="<preference>/rl_cai/preferences/{shard}.manifest.json",
    log:
        job="<preference>/logs/preferences/{shard}.log",
        nemo="<preference>/logs/preferences/{shard}.nemo.log",
    benchmark:
        "<preference>/benchmarks/preferences/{shard}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        **judging(settings, principles),
        **asking(journal(places.preference, "preferences-{shard}"), "instruct"),
    shell:
        "python scripts/rl_cai/judge_candidates.py --input {input.candidates:q} --output {output.data:q}"
        f" {JUDGE} {ASK}"


rule rl_dataset:
    input:
        preferences=collect(rules.preferences.output.data, shard=SHARDS),
        helpful_train_prompts=rules.helpful_preferences.output.train_prompts,
        helpful_train_comparisons=rules.helpful_preferences.output.train_comparisons,
        helpful_test_prompts=rules.helpful_preferences.output.test_prompts,
        helpful_test_comparisons=rules.helpful_preferences.output.test_comparisons,
        model="<pretrained>/models/base.nemo",
    output:
        train_prompts="<preference>/rl_cai/train.prompts.jsonl",
        train_comparisons="<preference>/rl_cai/train.comparisons.jsonl",
        test_prompts="<preference>/rl_cai/test.prompts.jsonl",
        test_comparisons="<preference>/rl_cai/test.comparisons.jsonl",
        ledgers=[
            "<preference>/rl_cai/train.comparisons.ledger.json",
            "<preference>/rl_cai/train.prompts.ledger.json",
        ],
        manifests=collect(
            "<preference>/rl_cai/{part}.{kind}.manifest.json", part=PARTS, kind=KINDS
        ),
    log:
        "<preference>/logs/rl_dataset.log",
    conda:
        "../envs/controller.yaml"
    params:
        preferences=folded("preferences"),
        template=CHAT,
        options=literal(preflight.rl_options(settings)),
        length=settings.lengths.rl,
        prompt_length=preflight.prompt_length(settings),
    shell:
        "python scripts/rl_cai/build_preferences.py --preferences {params.preferences:q}"
        " --helpful-train-prompts {input.helpful_train_prompts:q}"
        " --helpful-train-comparisons {input.helpful_train_comparisons:q}"
        " --helpful-test-prompts {input.helpful_test_prompts:q}"
        " --helpful-test-comparisons {input.helpful_test_comparisons:q}"
        " --train-prompts {output.train_prompts:q} --train-comparisons {output.train_comparisons:q}"
        " --test-prompts {output.test_prompts:q} --test-comparisons {output.test_comparisons:q}"
        " --template {params.template:q} --options {params.options:q} --tokenizer {input.model:q}"
        " --max-tokens {params.length:q} --max-prompt-tokens {params.prompt_length:q} 2>&1 | tee {log:q}"
