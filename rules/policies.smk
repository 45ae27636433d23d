# The last stages side by side: `snakemake compare_policies`.
#
# Requires the evaluation of SL-CAI and of the policies, and these models for the KL divergence.
# Makes policies/likelihoods/*.jsonl and policies.{html,json,csv}.

# Some servers give no log-probabilities of what they are given.
LIKELIHOODS = settings.policies if settings.server.scores_prompts else []


rule likelihoods:
    input:
        answers="<results>/evaluation/answers/{policy}.jsonl",
        model=lookup("{model}", within=ANY_MODEL),
        exported=lookup("{model}", within=EXPORTED),
    output:
        data="<results>/policies/likelihoods/{policy}.by_{model}.jsonl",
        ledger="<results>/policies/likelihoods/{policy}.by_{model}.ledger.json",
        manifest="<results>/policies/likelihoods/{policy}.by_{model}.manifest.json",
    log:
        job="<results>/logs/likelihoods/{policy}.by_{model}.log",
        nemo="<results>/logs/likelihoods/{policy}.by_{model}.nemo.log",
    benchmark:
        "<results>/benchmarks/likelihoods/{policy}.by_{model}.tsv"
    wildcard_constraints:
        policy="|".join(last_stages.POLICIES),
    conda:
        "../envs/controller.yaml"
    params:
        **asking(own_journal("likelihoods-{policy}-{model}"), role_of_model),
    shell:
        "python scripts/policies/score_likelihoods.py --input {input.answers:q} --output {output.data:q}"
        f" {ASK}"


rule policy_comparison:
    input:
        page=["scripts/cai/report/policies.html.j2", *PAGE],
        answers=collect(rules.answers.output.data, model=TRAINED),
        rewards=(
            collect("<results>/evaluation/rewards/{model}.jsonl", model=TRAINED)
            if settings.has_rewards
            else []
        ),
        judged=collect(rules.judged.output.data, model=TRAINED),
        truth=collect(
            rules.truth.output.data,
            model=TRAINED if settings.evaluation.classifier else [],
        ),
        own=[
            f"<results>/policies/likelihoods/{name}.by_{name}.jsonl"
            for name in LIKELIHOODS
        ],
        start=collect(
            rules.likelihoods.output.data, policy=LIKELIHOODS, model=last_stages.START
        ),
        manifests=rules.report.input.manifests,
    output:
        html=report(
            "<results>/policies.html",
            caption="captions/policies.rst",
            category="Evaluation",
            labels={"figure": "the last stages side by side"},
        ),
        others=multiext("<results>/policies", ".json", ".csv"),
    log:
        "<results>/logs/policy_comparison.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        parts=literal(policy_runs.parts(settings, places)),
        sampling=literal(settings.evaluation.answer.model_dump_json()),
        seed=settings.seed,
    shell:
        "python scripts/policies/compare_policies.py --answers {input.answers:q} --rewards {input.rewards:q}"
        " --judged {input.judged:q} --truth {input.truth:q} --own {input.own:q} --start {input.start:q}"
        " --parts {params.parts:q} --sampling {params.sampling:q} --seed {params.seed:q}"
        " --output {output.html:q} 2>&1 | tee {log:q}"


rule compare_policies:
    input:
        rules.policy_comparison.output.html,
