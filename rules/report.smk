# The figures and the report of a run.
#
# Requires the summary, the answers, all ledgers, revisions and judgements, the trainings' metrics.
# Makes figures/{training_curves,ppo_curves,dpo_curves,best_of_n_curves,harmlessness}.* and
# report.html, and with the paper's figures paper_report.html.

LEDGERS = [
    rules.red_team.output.ledger,
    rules.helpful_sft.output.ledger,
    rules.helpful_preferences.output.ledger,
    *collect(rules.responses.output.ledger, shard=SHARDS),
    *collect(rules.revisions.output.ledger, shard=SHARDS),
    rules.sl_dataset.output.ledger,
    *collect(rules.candidates.output.ledger, shard=SHARDS),
    *collect(rules.preferences.output.ledger, shard=SHARDS),
    *rules.rl_dataset.output.ledgers,
    *collect(rules.answers.output.ledger, model=MODELS),
    *collect(rules.judged.output.ledger, model=TRAINED),
    *(rules.rewards.output.ledgers if settings.has_rewards else []),
]

# Of each last stage its curves, its manifest, and the ledgers of its own data.
CURVES = {
    "rl_cai": "<results>/figures/ppo_curves.svg",
    "dpo_cai": "<results>/figures/dpo_curves.svg",
    "best_of_n": "<results>/figures/best_of_n_curves.svg",
}
MANIFESTS = {
    "rl_cai": rules.rl_cai.output.manifest,
    "dpo_cai": rules.dpo_cai.output.manifest,
    "best_of_n": rules.best_of_n.output.manifest,
}
OWN_LEDGERS = {
    "dpo_cai": [rules.dpo_dataset.output.ledger],
    "best_of_n": [
        *collect(rules.best_answers.output.ledger, shard=SHARDS),
        rules.best_of_n_dataset.output.ledger,
    ],
}
LEDGERS += [
    path for policy in settings.policies for path in OWN_LEDGERS.get(policy, [])
]


# What pages are made of beside their data: these files are edited as programs are.
PAGE = [
    "scripts/cai/report/page.html.j2",
    "scripts/cai/report/page.css",
    "scripts/cai/report/macros.html.j2",
]


rule training_curves:
    input:
        sft=rules.sl_cai.output.metrics,
        reward_model=(rules.reward_model.output.metrics if settings.has_rewards else []),
    output:
        svg=report(
            "<results>/figures/training_curves.svg",
            caption="captions/training_curves.rst",
            category="Training",
            labels={"figure": "SFT and reward model"},
        ),
        others=multiext("<results>/figures/training_curves", ".png", ".csv"),
    log:
        "<results>/logs/training_curves.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    shell:
        "python scripts/report/plot_training.py --sft {input.sft:q} --reward-model {input.reward_model:q}"
        " --output {output.svg:q} 2>&1 | tee {log:q}"


rule ppo_curves:
    input:
        ppo=rules.rl_cai.output.metrics,
    output:
        svg=report(
            "<results>/figures/ppo_curves.svg",
            caption="captions/ppo_curves.rst",
            category="Training",
            labels={"figure": "PPO: reward, KL, length"},
        ),
        others=multiext("<results>/figures/ppo_curves", ".png", ".csv"),
    log:
        "<results>/logs/ppo_curves.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    shell:
        "python scripts/report/plot_training.py --ppo {input.ppo:q} --output {output.svg:q} 2>&1 | tee {log:q}"


rule dpo_curves:
    input:
        dpo=rules.dpo_cai.output.metrics,
    output:
        svg=report(
            "<results>/figures/dpo_curves.svg",
            caption="captions/dpo_curves.rst",
            category="Training",
            labels={"figure": "DPO: loss, accuracy, rewards"},
        ),
        others=multiext("<results>/figures/dpo_curves", ".png", ".csv"),
    log:
        "<results>/logs/dpo_curves.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    shell:
        "python scripts/report/plot_training.py --dpo {input.dpo:q} --output {output.svg:q} 2>&1 | tee {log:q}"


rule best_of_n_curves:
    input:
        sft=rules.best_of_n.output.metrics,
    output:
        svg=report(
            "<results>/figures/best_of_n_curves.svg",
            caption="captions/best_of_n_curves.rst",
            category="Training",
            labels={"figure": "best of n: SFT"},
        ),
        others=multiext("<results>/figures/best_of_n_curves", ".png", ".csv"),
    log:
        "<results>/logs/best_of_n_curves.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    shell:
        "python scripts/report/plot_training.py --best-of-n {input.sft:q} --output {output.svg:q} 2>&1 | tee {log:q}"


rule harmlessness:
    input:
        summary=rules.summary.output.json,
    output:
        svg=report(
            "<results>/figures/harmlessness.svg",
            caption="captions/harmlessness.rst",
            category="Evaluation",
            labels={"figure": "harmlessness and helpfulness"},
        ),
        others=multiext("<results>/figures/harmlessness", ".png", ".csv"),
    log:
        "<results>/logs/harmlessness.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    shell:
        "python scripts/report/plot_evaluation.py --summary {input.summary:q} --output {output.svg:q} 2>&1 | tee {log:q}"


rule report:
    input:
        page=["scripts/cai/report/report.html.j2", *PAGE],
        summary=rules.summary.output.json,
        answers=collect(rules.answers.output.data, model=MODELS),
        truth=rules.summary.input.truth,
        figures=[
            rules.harmlessness.output.svg,
            *[CURVES[policy] for policy in settings.policies],
            rules.training_curves.output.svg,
            *(
                [rules.harness_figure.output.svg]
                if settings.evaluation.harness
                else []
            ),
        ],
        ledgers=LEDGERS,
        judge=[
            *collect(rules.preferences.output.report, shard=SHARDS),
            *collect(rules.judged.output.report, model=TRAINED),
        ],
        chains=collect(rules.revisions.output.data, shard=SHARDS),
        manifests=[
            rules.sl_cai.output.manifest,
            *([rules.reward_model.output.manifest] if settings.has_rewards else []),
            *[MANIFESTS[policy] for policy in settings.policies],
        ],
        calibration=(
            rules.calibration.output.json if settings.evaluation.classifier else []
        ),
        checks=rules.stage_warnings.output,
    output:
        html=report(
            "<results>/report.html",
            caption="captions/report.rst",
            category="Evaluation",
            labels={"figure": "the report"},
        ),
        data="<results>/report.json",
    log:
        "<results>/logs/report.log",
    localrule: True
    conda:
        "../envs/controller.yaml"
    params:
        ledgers=folded("ledgers"),
        judge=folded("judge"),
        chains=folded("chains"),
        settings=literal(settings.model_dump_json()),
        # The file is no input, so that a comment in it reruns nothing: it counts by its principles.
        # Its path is among the settings, so as a function of the inputs it is no reason of its own.
        constitution=lambda wildcards, input: settings.constitution,
        principles=literal(principles),
        before=f"{places.results}/{before.FOLDER}",
        command=command,
    shell:
        "python scripts/report/write_report.py --summary {input.summary:q} --constitution {params.constitution:q}"
        " --settings {params.settings:q} --answers {input.answers:q} --figures {input.figures:q}"
        " --ledgers {params.ledgers:q} --judge-reports {params.judge:q} --chains {params.chains:q}"
        " --manifests {input.manifests:q} --calibration {input.calibration:q}"
        " --checks {input.checks:q} --truth {input.truth:q} --command {params.command:q}"
        " --before {params.before:q} --output {output.html:q} 2>&1 | tee {log:q}"


# The same report with all figures of the paper.
PAPER_FIGURES = [*RUN_FIGURES, *PUBLIC_FIGURES, *CHECK_FIGURES]


use rule report as paper_report with:
    input:
        **{
            **dict(rules.report.input.items()),
            "figures": [*rules.report.input.figures, *PAPER_FIGURES],
        },
    output:
        html=report(
            "<results>/paper_report.html",
            caption="captions/report.rst",
            category="Paper",
            labels={"figure": "the report, with the paper's figures"},
        ),
        data="<results>/paper_report.json",
    log:
        "<results>/logs/paper_report.log",
    localrule: True
