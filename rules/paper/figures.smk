# What the rules of the paper's figures share. Nothing in this folder belongs to the default target;
# each figure has its own chain of files, under paper/ and snapshots/.

with one_line_errors():
    paper_runs.check(settings)

STEPS = paper_runs.steps(settings)
DPO_STEPS = paper_runs.steps(settings, "dpo_cai")
EVALUATED = ["helpful_only", "sl_cai"]  # policies whose answers the evaluation has
PAPER = f"{settings.results}/paper"


wildcard_constraints:
    step=r"\d+",
    policy=r"helpful_only|sl_cai|rl_cai|dpo_cai|best_of_n|(dpo_)?\d+",
    part="harmful|helpful",
    pm="harmless|helpful|combined",
    chain=r"critiqued|direct|principles-\d+-\d+",


def figure_options(figure):
    """What every figure's program is given of the run."""
    return literal(paper_runs.figure_options(settings, figure))


def truth_of(pattern, **wildcards):
    """The files of the truth about texts, if there is a classifier."""
    if not settings.evaluation.classifier:
        return []
    return collect(f"<results>/paper/truth/{pattern}.jsonl", **wildcards)


RUN_FIGURES = collect(
    "<results>/figures/{figure}.svg",
    figure=[
        "fig02",
        "fig05",
        "fig06",
        "fig07",
        "fig08",
        "fig10",
        "appendix_samples",
        "appendix_chains",
    ],
)


def checkpoints_of(policy, run):
    """An input: the run that leaves a policy's checkpoints; in vain where they are adapters."""

    def found(wildcards):
        with one_line_errors():
            paper_runs.check_whole_checkpoints(settings, policy)
        return run.output.nemo

    return found
