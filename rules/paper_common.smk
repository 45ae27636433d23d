# What the rules of the paper's figures share.
with told():
    paper_runs.check(settings)

STEPS = paper_runs.steps(settings)
EVALUATED = ["helpful_only", "sl_cai"]  # policies whose answers the evaluation has
CHAINS = paper_runs.chains(settings, len(principles["supervised"]))
PAPER = f"{settings.results}/paper"


wildcard_constraints:
    step=r"\d+",
    policy=r"helpful_only|sl_cai|rl_cai|\d+",
    part="harmful|helpful",
    pm="harmless|helpful|combined",
    chain=r"critiqued|direct|principles-\d+-\d+",


def figure_options(figure):
    """What every figure's program is told of the run."""
    return literal(paper_runs.figure_options(settings, figure))


# What a job is like: it has the resources of that rule, unless a profile names it itself.
for name, other in rule_kinds.LIKE.items():
    given = workflow.resource_settings._parsed_overwrite_resources
    if other in given:
        given.setdefault(name, given[other])


def launch_snapshots(wildcards, resources):
    """The actor's part of PPO's resources, and the steps whose checkpoints stay."""
    return [launch_actor(wildcards, resources), "--keep-steps", *STEPS]


def truth_of(pattern, **wildcards):
    """The files of the truth about texts, if there is a classifier."""
    if not settings.evaluation.classifier:
        return []
    return collect(f"<results>/paper/truth/{pattern}.jsonl", **wildcards)


def chain_principles(wildcards):
    """The principles that a chain draws from."""
    return paper_runs.principles_of(
        wildcards.chain, principles["supervised"], settings.seed
    )
