# What the rules share whose jobs ask a model: its server, its template, the journal of its answers.
#
# Such a rule has an input `model` and says `**asking(JOURNAL, ROLE)` among its params; its command
# begins with what is its own and ends with ASK. A rule that asks a reward model has `**scoring(...)`
# and SCORE.

# The models that a rule names as its input, with what a server needs beside a .nemo file.
INSTRUCT_MODEL = {
    "model": "<pretrained>/models/instruct.nemo",
    "exported": servers.exported(settings, "<pretrained>/models/instruct.nemo"),
}
JUDGE_MODEL = {
    "model": "<pretrained>/models/instruct.nemo",
    "exported": servers.judge_exported(settings, "<pretrained>/models/instruct.nemo"),
}

ASK = (
    "--model {input.model:q} --exported {input.exported:q} --template {params.template:q}"
    " --client {params.client:q} --serving {params.serving:q}"
    " --journal {params.journal:q} --log {log.nemo:q}"
    " --launch {params.launch:q} -- {params.server:q} 2>&1 | tee {log.job:q}"
)
JUDGE = (
    "--judge {params.judge:q} --principles {params.principles:q} --seed {params.seed:q}"
)
SCORE = (
    "--model {input.model:q} --template {params.template:q} --max-tokens {params.length:q}"
    " --journal {params.journal:q} --log {log.nemo:q}"
    " --launch {params.launch:q} -- {params.server:q} {params.files:q} 2>&1 | tee {log.job:q}"
)


def asking(journal, role, run=settings):
    """The params of a rule that asks a model.

    Args:
        journal: where answers are kept, see journal().
        role: "instruct" for the helpful-only model, which has its own template; "chat" for what is
            trained here; or a function of the wildcards that says which.
        run: the settings, if they are not this run's.
    """
    of = role if callable(role) else lambda wildcards: role
    templates = {
        "instruct": run.models.instruct.template,
        "chat": run.models.base.template,
    }
    return {
        "launch": launch,
        "journal": journal,
        "template": lambda wildcards: as_option(templates[of(wildcards)]),
        "client": literal(run.client.model_dump_json()),
        # as a function of resources it is no reason to run a job again, like launch
        "serving": lambda wildcards, resources: run.server.serving().model_dump_json(),
        "server": lambda wildcards: servers.command(run, of(wildcards)),
    }


def scoring(journal):
    """The params of a rule that asks a reward model."""
    return {
        "launch": launch,
        "journal": journal,
        "template": CHAT,
        "length": settings.lengths.rl,
        "server": literal(programs.reward_server(settings)),
        "files": named({"rm_model_file": "model"}),
    }


def judging(run_settings, run_principles):
    """The params of a rule whose judge compares two answers by the constitution."""
    return {
        "judge": literal(run_settings.judge.model_dump_json()),
        "principles": literal(run_principles["preference"]),
        "seed": run_settings.seed,
    }


def journal(place, name):
    """Where a job keeps what was answered; an experiment's also reads the base run's."""
    own, base = (f"{root}/work/journal/{name}.jsonl" for root in (place, places.base))
    return own if place == places.base else [own, base]


def own_journal(name):
    """Where a job of the last part keeps what was answered."""
    return f"{WORK}/journal/{name}.jsonl"


def role_of_model(wildcards):
    """The role of the wildcard {model}, see asking()."""
    return "instruct" if wildcards.model == "helpful_only" else "chat"
