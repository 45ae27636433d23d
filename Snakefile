# Constitutional AI (Bai et al. 2022) with NVIDIA NeMo: every dataset, checkpoint and report is a
# file. The steps are those of NVIDIA's tutorial, one file of rules each.
from snakemake.utils import min_version

min_version("9.27")


include: "rules/files.smk"


configfile: "config/config.yaml"


report: "rules/captions/workflow.rst"


include: "rules/common.smk"
include: "rules/models.smk"
include: "rules/asking.smk"
include: "rules/training.smk"
include: "rules/data.smk"
include: "rules/sl_cai.smk"
include: "rules/rl_cai.smk"
include: "rules/reward_model.smk"
include: "rules/ppo.smk"
include: "rules/dpo.smk"
include: "rules/best_of_n.smk"
include: "rules/evaluation.smk"
include: "rules/paper/figures.smk"
include: "rules/paper/snapshots.smk"
include: "rules/paper/truth.smk"
include: "rules/paper/elo.smk"
include: "rules/paper/reward_models.smk"
include: "rules/paper/revisions.smk"
include: "rules/paper/harmfulness.smk"
include: "rules/paper/samples.smk"
include: "rules/public_sets.smk"
include: "rules/checks.smk"
include: "rules/report.smk"
include: "rules/policies.smk"
include: "rules/export.smk"
include: "rules/compare.smk"
include: "rules/share.smk"
include: "rules/preflight.smk"


rule all:
    default_target: True
    input:
        [f"<results>/{policy}.nemo" for policy in settings.policies],
        "<results>/report.html",
        rules.calibration.output if settings.evaluation.classifier else [],


# Figures and tables of the paper, as far as open models and public data allow, and one report.
rule paper_artefacts:
    input:
        PAPER_FIGURES,
        rules.paper_report.output,
