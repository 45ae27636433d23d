# Step 1a. Pretrained models: download (or take from a folder), convert to .nemo.
#
# Requires a hub's model or a folder for base and for instruct.
# Makes models/{base,instruct}.nemo, and the Hugging Face folder of any .nemo for servers that load one.

MODEL_FILES = {
    name: preflight.model_files(settings, name) for name in ("base", "instruct")
}


rule fetch_model:
    input:
        files=lookup("{pretrained}", within=MODEL_FILES),
    output:
        directory("<pretrained>/models/{pretrained}_hf"),
    log:
        "<pretrained>/logs/fetch_model/{pretrained}.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        source=lambda wildcards: preflight.model_source(settings, wildcards.pretrained),
    shell:
        "python scripts/models/fetch_model.py {params.source:q} --output {output:q} 2>&1 | tee {log:q}"


rule convert_model:
    input:
        rules.fetch_model.output,
    output:
        nemo="<pretrained>/models/{pretrained}.nemo",
        manifest="<pretrained>/models/{pretrained}.manifest.json",
    log:
        "<pretrained>/logs/convert_model/{pretrained}.log",
    benchmark:
        "<pretrained>/benchmarks/convert_model/{pretrained}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch,
        python=literal(settings.nemo.python),
    shell:
        "python scripts/launch.py --launch {params.launch:q}"
        " -- {params.python:q} scripts/convert_hf_to_nemo.py {input:q} {output.nemo:q} 2>&1 | tee {log:q}"


# For servers that load Hugging Face folders (server.kind), and for others (share.smk); the mark is
# written when one is whole.
rule export_model:
    input:
        branch(
            lambda wildcards: wildcards.served == "instruct",
            "{place}/models/{served}.nemo",
            "{place}/{served}.nemo",
        ),
    output:
        "{place}/hf/{served}.json",
    log:
        "{place}/logs/export_model/{served}.log",
    benchmark:
        "{place}/benchmarks/export_model/{served}.tsv"
    conda:
        "../envs/controller.yaml"
    params:
        launch=launch,
        python=literal(settings.nemo.python),
        folder="{place}/hf/{served}",
        chat=branch(lambda wildcards: wildcards.served == "instruct", INSTRUCT, CHAT),
    shell:
        "python scripts/launch.py --launch {params.launch:q}"
        " -- {params.python:q} scripts/convert_nemo_to_hf.py {input:q} {params.folder:q}"
        " --chat {params.chat:q} --mark {output:q}"
        " 2>&1 | tee {log:q}"
