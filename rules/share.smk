# The models for others: `snakemake share_models`.
#
# Requires what this run has trained, its evaluation, the licences. Makes hf/*/README.md beside the
# weights that export_model writes; an experiment exports what it does not share with the base run.

WHERE = {
    last_stages.START: places.supervised,
    **({"reward_model": places.preference} if settings.has_rewards else {}),
    **dict.fromkeys(settings.policies, places.results),
}
PUBLISHED = [name for name, place in WHERE.items() if place == places.results]


rule model_card:
    input:
        page="scripts/cai/report/model_card.md.j2",
        exported="<results>/hf/{published}.json",
        nemo="<results>/{published}.nemo",
        manifest="<results>/{published}.manifest.json",
        measured=branch(
            lambda wildcards: wildcards.published == "reward_model",
            "<results>/reward_model.metrics.csv",
            rules.summary.output.md,
        ),
        licences="config/licences.yaml",
    output:
        "<results>/hf/{published}/README.md",
    log:
        "<results>/logs/model_card/{published}.log",
    wildcard_constraints:
        published="|".join(WHERE),
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        template=CHAT,
    shell:
        "python scripts/share/write_model_card.py --model {input.nemo:q} --measured {input.measured:q}"
        " --licences {input.licences:q} --template {params.template:q} --output {output:q}"
        " 2>&1 | tee {log:q}"


# It has no output, so that it says in each run how the folders are published.
rule share_models:
    input:
        collect(rules.model_card.output, published=PUBLISHED),
    log:
        "<results>/logs/share_models.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        lines=literal(
            ["To publish them on the Hugging Face hub:"]
            + [
                f"hf upload YOUR_NAME/{name} {shlex.quote(f'{places.results}/hf/{name}')}"
                for name in PUBLISHED
            ]
        ),
    shell:
        "printf %s\\\\n {params.lines:q} | tee {log:q} >&2"
