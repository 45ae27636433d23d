# Step 1a. Pretrained models: download (or take from a folder), convert to .nemo.

MODEL_FILES = {
    name: preflight.model_files(settings, name) for name in ("base", "instruct")
}


SERVED = {
    "instruct": f"{settings.results}/models/instruct.nemo",
    "sl_cai": f"{settings.results}/sl_cai.nemo",
    "rl_cai": f"{settings.results}/rl_cai.nemo",
}


rule fetch_model:
    input:
        program="scripts/fetch_model.py",
        files=lookup("{pretrained}", within=MODEL_FILES),
    output:
        directory("<results>/models/{pretrained}_hf"),
    log:
        "<results>/logs/fetch_model/{pretrained}.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        source=lambda wildcards: preflight.model_source(settings, wildcards.pretrained),
    shell:
        "python {input.program} {params.source:q} --output {output} 2>&1 | tee {log}"


rule convert_model:
    input:
        rules.fetch_model.output,
    output:
        nemo="<results>/models/{pretrained}.nemo",
        manifest="<results>/models/{pretrained}.manifest.json",
    log:
        "<results>/logs/convert_model/{pretrained}.log",
    benchmark:
        "<results>/benchmarks/convert_model/{pretrained}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch,
        python=settings.nemo.python,
    shell:
        "python scripts/launch.py --launch {params.launch:q}"
        " -- {params.python} scripts/convert_hf_to_nemo.py {input} {output.nemo} 2>&1 | tee {log}"


# For servers that load Hugging Face folders (server.kind); the mark is written when one is whole.
rule export_model:
    input:
        lookup("{served}", within=SERVED),
    output:
        "<results>/hf/{served}.json",
    log:
        "<results>/logs/export_model/{served}.log",
    benchmark:
        "<results>/benchmarks/export_model/{served}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch,
        python=settings.nemo.python,
        folder=f"{settings.results}/hf/{{served}}",
    shell:
        "python scripts/launch.py --launch {params.launch:q}"
        " -- {params.python} scripts/convert_nemo_to_hf.py {input} {params.folder} --mark {output}"
        " 2>&1 | tee {log}"
