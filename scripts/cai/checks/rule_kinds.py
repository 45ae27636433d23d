"""What each rule's jobs need: the table that checks, plans and profiles' defaults read.

The rules whose jobs Snakemake submits are here; the others run where Snakemake does, in a moment.
"""

from dataclasses import dataclass
from typing import Literal

from cai.nemo.values import Program

What = Literal["data", "conversion", "generation", "judging", "training", "ppo", "evaluation"]


@dataclass(frozen=True)
class Kind:
    """What the jobs of a rule are like.

    Attributes:
        what: they do.
        programs: of NeMo, that they run or ask: of a generation, the server of the model that
            is trained here, of the instruct model, or of either; of a judging only where the
            judge reads log-probabilities, else a service is asked.
        like: the rule whose resources they have, unless a profile names this one itself.
        is_choice: whether they make a last stage that a run may do without: it is checked where
            it is asked for.
    """

    what: What
    programs: tuple[Program, ...] = ()
    like: str | None = None
    is_choice: bool = False

    @property
    def runs_nemo(self) -> bool:
        """Whether they need NeMo's Python, whatever the judge is."""
        return self.what == "conversion" or (bool(self.programs) and self.what != "judging")

    @property
    def served(self) -> bool:
        """Whether a server of models is started for them, whatever the judge is."""
        return bool(self.programs) and self.what in ("generation", "evaluation")

    def needs_gpus(self, judge: str) -> bool:
        """Whether they run NeMo's models, with this judge."""
        return bool(self.programs) and (self.what != "judging" or judge == "logprob")


def _either(like: str | None = None) -> Kind:
    return Kind("generation", ("instruct_server", "server"), like)


def _judge(like: str | None = None) -> Kind:
    return Kind("judging", ("instruct_server",), like)


def _rewards(like: str | None = None) -> Kind:
    return Kind("evaluation", ("reward_server",), like)


RULES: dict[str, Kind] = {  # in the order of the workflow
    "convert_model": Kind("conversion"),
    "export_model": Kind("conversion"),
    "responses": Kind("generation", ("instruct_server",)),
    "revisions": Kind("generation", ("instruct_server",)),
    "sl_dataset": Kind("data"),
    "sl_cai": Kind("training", ("sft",)),
    "candidates": Kind("generation", ("server",)),
    "preferences": _judge(),
    "rl_dataset": Kind("data"),
    "reward_model": Kind("training", ("reward_model",)),
    "rl_cai": Kind("ppo", ("critic", "actor"), is_choice=True),
    "dpo_dataset": Kind("data", like="rl_dataset"),
    "dpo_cai": Kind("training", ("dpo",), like="reward_model", is_choice=True),
    "best_answers": _rewards("rewards"),
    "best_of_n_dataset": Kind("data", like="sl_dataset"),
    "best_of_n": Kind("training", ("sft",), like="sl_cai", is_choice=True),
    "answers": _either(),
    "rewards": _rewards(),
    "judged": _judge(),
    "head_to_head": _judge(),
    "likelihoods": _either("answers"),
    # public evaluation sets
    "comparison_rewards": _rewards(),
    "judged_comparisons": _judge(),
    "harm_choices": _either(),
    "harness": _either("answers"),
    "set_answers": _either(),
    "graded": _judge("judged"),
    # the paper's figures
    "rl_snapshots": Kind("ppo", ("critic", "actor"), like="rl_cai"),
    "snapshot": Kind("conversion", like="convert_model"),
    "dpo_snapshots": Kind("training", ("dpo",), like="dpo_cai"),
    "dpo_snapshot": Kind("conversion", like="convert_model"),
    "snapshot_answers": _either("answers"),
    "matches_judged": _judge("judged"),
    "helpful_rewards": _rewards("rewards"),
    "harmless_comparisons": Kind("data", like="rl_dataset"),
    "paper_reward_model": Kind("training", ("reward_model",), like="reward_model"),
    "chains": Kind("generation", ("instruct_server",), like="revisions"),
    "chain_rewards": _rewards("rewards"),
    "harmfulness_samples": _either("answers"),
    "harmfulness_rewards": _rewards("rewards"),
}
LIKE = {name: kind.like for name, kind in RULES.items() if kind.like}


def kind_of(rule: str) -> Kind:
    """The kind of a rule; of one that is not submitted, that of a step of the data."""
    return RULES.get(rule, Kind("data"))


PPO = "rl_cai"  # its two programs are sized apart, each under its own name
STAGES: dict[str, tuple[Program, ...]] = {  # what is sized: rules, and the programs of PPO
    name: programs
    for rule, kind in RULES.items()
    if kind.programs and (kind.what != "ppo" or rule == PPO)
    for name, programs in (
        [(program, (program,)) for program in kind.programs]
        if rule == PPO
        else [(rule, kind.programs)]
    )
}
