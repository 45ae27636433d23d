"""What each rule does, in plain words for the lines of a run; a test keeps the list whole."""

from collections.abc import Mapping

WORDS = {
    # models and data
    "fetch_model": "fetch the model",
    "convert_model": "convert the model to NeMo's form",
    "export_model": "export the model in Hugging Face's form",
    "red_team": "prepare the red-team prompts",
    "helpful_sft": "prepare the helpful dialogues",
    "helpful_preferences": "prepare the comparisons of helpfulness",
    # SL-CAI
    "responses": "answer the red-team prompts",
    "revisions": "criticise and revise the answers",
    "sl_dataset": "build the training data of SL-CAI",
    "sl_cai": "train SL-CAI on the revisions (SFT)",
    # RL-CAI
    "candidates": "sample several answers from SL-CAI",
    "preferences": "judge them by the constitution",
    "rl_dataset": "build the training data of RL-CAI",
    "reward_model": "train the reward model",
    "rl_cai": "train RL-CAI (PPO)",
    # DPO-CAI
    "dpo_dataset": "build the training data of DPO-CAI",
    "dpo_cai": "train DPO-CAI (DPO)",
    # best of n
    "best_answers": "choose the best candidates by the reward model",
    "best_of_n_dataset": "build the training data of best-of-n",
    "best_of_n": "train best-of-n on them (SFT)",
    # evaluation
    "evaluation_prompts": "choose the held-out prompts",
    "answers": "answer the held-out prompts",
    "rewards": "score the answers with the reward model",
    "judged": "judge the answers against helpful-only's",
    "truth": "classify the answers",
    "calibration": "compare the judge with the truth",
    "summary": "summarise the evaluation",
    "leakage": "look for held-out prompts in the training data",
    "stage_warnings": "look for warning signs",
    # figures and the report
    "training_curves": "draw the curves of SFT and reward model",
    "ppo_curves": "draw the curves of PPO",
    "dpo_curves": "draw the curves of DPO",
    "best_of_n_curves": "draw the curve of best-of-n",
    "harmlessness": "draw the results",
    "report": "write the report",
    "all": "all is made",
    # the last stages side by side
    "likelihoods": "ask how likely answers are",
    "policy_comparison": "write the comparison of the last stages",
    "compare_policies": "the comparison of the last stages is made",
    # the datasets for other trainers
    "export": "write the datasets for other trainers",
    # the models for others
    "model_card": "write the model's card",
    "share_models": "the models are ready for others",
    # two runs side by side
    "head_to_head": "judge both runs' answers against each other",
    "comparison": "write the comparison",
    "compare": "the comparison is made",
    # the paper's figures: policies on the way of PPO
    "rl_snapshots": "run PPO again for its snapshots",
    "snapshot": "take a snapshot of the policy",
    "dpo_snapshots": "run DPO again for its snapshots",
    "dpo_snapshot": "take a snapshot of DPO's policy",
    "elo_prompts": "choose the prompts of the matches",
    "stage_answers": "take over the answers of a stage",
    "snapshot_answers": "answer with a snapshot",
    "matches": "pair the policies' answers",
    "matches_judged": "judge the matches",
    "helpful_rewards": "score the matches' answers",
    "paper_truth": "classify the matches' answers",
    "elo": "fit the Elo scores",
    "fig_elo": "draw the Elo scores",
    # the paper's figures: chains of revisions
    "harmless_comparisons": "build comparisons of harmlessness alone",
    "paper_reward_model": "train a reward model for the figures",
    "chain_responses": "choose the responses of the chains",
    "chains": "criticise and revise, round by round",
    "chain_texts": "collect the chains' texts",
    "chain_rewards": "score the chains' texts",
    "fig_revisions": "draw the scores of revisions",
    # the paper's figures: absolute harmfulness, samples
    "ratings": "prepare the red teamers' ratings",
    "harmfulness_prompts": "choose the prompts of absolute harmfulness",
    "harmfulness_samples": "sample answers to them",
    "harmfulness_rewards": "score them",
    "fig_harmfulness": "draw absolute harmfulness",
    "fig_samples": "show samples of each stage",
    "fig_chains": "show chains of critiques",
    # public evaluation sets, and what goes beyond the paper
    "evaluation_set": "prepare a public evaluation set",
    "comparison_rewards": "score a public set with the reward model",
    "judged_comparisons": "judge a public set",
    "harm_choices": "ask which harm a prompt has",
    "hhh_figure": "draw the accuracy on a public set",
    "subset_figure": "draw the reward model's accuracy by subset",
    "calibration_figure": "draw the judge's calibration",
    "identification_figure": "draw how well harm is identified",
    "harness": "run lm-evaluation-harness",
    "harness_figure": "draw the harness's results",
    "set_answers": "answer a set of safe or unsafe prompts",
    "graded": "grade the answers to a set",
    "grades_figure": "draw the grades",
    "over_refusal": "measure refusals and evasions",
    "principles": "measure what each principle does",
    "paper_report": "write the report with the paper's figures",
    "paper_artefacts": "the paper's figures are made",
}


def words_of(rule: str, wildcards: Mapping[str, str]) -> str:
    """What a job does: its rule's words, and which one it is among those of the rule."""
    which = ", ".join(
        f"shard {value}" if name == "shard" else str(value) for name, value in wildcards.items()
    )
    words = WORDS.get(rule, rule.replace("_", " "))
    return f"{words} ({which})" if which else words
