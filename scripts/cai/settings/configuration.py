"""The configuration: its pydantic models are the one source of fields, defaults and descriptions.

``config/schema.json`` and ``docs/configuration.md`` are generated from them (`make docs`).
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from cai.core.cli import describe
from cai.core.errors import UserError
from cai.core.fields import Section, check_hub_name, refuse_leftover
from cai.files.paths import carried, with_paths
from cai.models.sampling import Sampling, Temperature
from cai.models.shape import ModelShape
from cai.models.templates import AUTO, Template
from cai.settings.evaluations import Evaluations, ExpectedWarning
from cai.settings.judges import AnyJudge, ChatJudge, LogprobJudge, RandomJudge
from cai.settings.last_stages import REWARDED, Dpo, Policy
from cai.settings.model_servers import ClientSettings, ServerSettings
from cai.settings.origins import Origins
from cai.settings.overrides import Overrides
from cai.settings.paper import Paper
from cai.settings.sources import Source

MOST_SEED = 2**32 - 1  # that numpy takes, which NeMo's trainings seed
PROJECTS = (  # folders of the project's own files
    *("benchmarks", "config", "demo", "docs", "envs", "profiles", "rules", "scripts", "slurm"),
    *("tests", ".ci", ".envs", ".git", ".github", ".snakemake"),
)
MOST_SHARDS = 1000  # jobs of a step: Snakemake plans so many in seconds, Slurm queues them

Seconds = Annotated[float, Field(ge=0)]


class NemoOverrides(Section):
    """Hydra overrides by program; they win over what the rules set, but for what these need."""

    sft: Overrides = Field({}, description="Overrides of train_gpt_sft.py; null removes one.")
    reward_model: Overrides = Field({}, description="Overrides of train_reward_model.py.")
    critic: Overrides = Field({}, description="Overrides of serve_ppo_critic.py.")
    actor: Overrides = Field({}, description="Overrides of train_gpt_ppo_actor.py.")
    dpo: Overrides = Field({}, description="Overrides of train_gpt_dpo.py.")
    server: Overrides = Field(
        {}, description="Overrides of megatron_gpt_eval.py, the generation server."
    )
    instruct_server: Overrides = Field(
        {},
        description="More overrides for the server of the instruct model, over those of `server`.",
    )
    reward_server: Overrides = Field({}, description="Overrides of serve_reward_model.py.")


class Nemo(Section):
    """Where NeMo is, and the overrides of its programs."""

    python: str = Field("python", min_length=1, description="The Python that has NeMo.")
    root: str = Field("/opt/NeMo", min_length=1, description="A checkout of NeMo v2.1.0.")
    aligner_root: str = Field(
        "/opt/NeMo-Aligner", min_length=1, description="The same for NeMo-Aligner v0.7.0."
    )
    check: bool = Field(
        True,
        description="Before the first job, ask NeMo's own configurations whether they take all "
        "overrides; on a cluster in a short CPU job.",
    )
    overrides: NemoOverrides = NemoOverrides()


class Model(Section):
    """A pretrained model and the template in which it is spoken to."""

    source: str = Field(
        description="Hugging Face name, or a local folder (with a slash at its end)."
    )
    revision: str | None = Field(
        None, description="Commit of the hub repository; required for one."
    )
    template: Template
    vocabulary: str | None = Field(
        None,
        min_length=1,
        description="Text or Markdown file with the words that the model knows, if it is a small "
        "one: principles in other words are refused before a job starts.",
    )
    shape: ModelShape | None = Field(
        None,
        description="Its sizes, so that GPUs and memory are checked before it is downloaded; its "
        "own files win. Null: they are checked when it is here.",
    )

    @model_validator(mode="after")
    def _pinned(self) -> "Model":
        if self.is_local:
            refuse_leftover(self, "revision")
            return self
        check_hub_name(self.source, "a local folder with a slash at its end")
        if not self.revision:
            raise ValueError(
                f"a model from a hub needs a pinned revision, found none for {self.source}"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether the source is a folder of this machine."""
        return self.source.endswith("/") or self.source.startswith((".", "/"))


def _or_auto(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return value if value == AUTO else handler(value)


class InstructModel(Model):
    """A pretrained model that is asked, perhaps in its own template: then that is AUTO."""

    template: Annotated[
        SerializeAsAny[Template],
        WrapValidator(_or_auto, json_schema_input_type=Template | Literal["auto"]),
    ] = Field(description="The fields below, or `auto`: the chat template in the model's files.")


class Models(Section):
    """The two models that the method starts from."""

    base: Model = Field(description="Fine-tuned to SL-CAI; its template is that of all CAI models.")
    instruct: InstructModel = Field(
        description="The helpful-only assistant: it answers, critiques, revises."
    )


class Datasets(Section):
    """Where prompts and human preferences come from."""

    red_team: Source = Field(
        description="Red-team transcripts; the first human turn is the prompt."
    )
    helpful_sft: Source = Field(description="Helpful dialogues, blended into the SFT data.")
    helpful_preferences: list[Source] = Field(
        min_length=1, description="Human comparisons of helpfulness (chosen, rejected)."
    )
    test_fraction: float = Field(0.05, gt=0, lt=1, description="Share of prompts held out.")
    limit: int | None = Field(None, ge=1, description="Most records of each source; null: all.")
    max_bad_share: float = Field(
        0.05, ge=0, le=1, description="Share of unusable records above which a step fails."
    )


class Lengths(Section):
    """Lengths in tokens that datasets and training agree on."""

    sft: int = Field(4096, ge=16, description="Longest dialogue of the SFT set.")
    rl: int = Field(4096, ge=16, description="Longest comparison, and rollout with its prompt.")
    answer: int = Field(1024, ge=1, description="Longest answer of a rollout in PPO.")
    context: int = Field(
        4096, ge=16, description="Longest prompt and answer of the instruct model."
    )

    @model_validator(mode="after")
    def _room(self) -> "Lengths":
        if self.answer >= self.rl:
            raise ValueError(f"answer ({self.answer}) must be less than rl ({self.rl})")
        return self


class Supervised(Section):
    """The supervised stage: responses, critiques and revisions, and the SFT set."""

    rounds: int = Field(
        1, ge=1, le=100, description="Critique-revision rounds (tutorial 1, paper 4)."
    )
    response: Sampling
    critique: Sampling
    revision: Sampling
    few_shot_first: bool = Field(
        False,
        description="Few-shot dialogues before the first response, too, as in NeMo-Aligner's "
        "tutorial.",
    )
    train_on: Literal["final", "all"] = Field(
        "final", description="Revisions to train on: the final one, or all (the paper)."
    )
    helpful_ratio: float = Field(
        1.0, ge=0, description="Helpful dialogues for each revision; more than there are: all."
    )
    validation_size: int = Field(256, ge=1, description="Dialogues held out for validation.")


class Judges(Section):
    """Settings of each kind of judge; only those of the chosen one matter."""

    logprob: LogprobJudge = LogprobJudge()
    chat: ChatJudge | None = None
    random: RandomJudge = RandomJudge()


class Preferences(Section):
    """The data of the RL stage: candidates, comparisons, and the blend with helpfulness."""

    temperatures: list[Temperature] = Field(
        min_length=2,
        max_length=26,  # a judge names them by letters
        description="Sampling temperature of each candidate.",
    )
    candidate: Sampling
    judge: Literal["logprob", "chat", "random"] = Field(
        "chat", description="Who compares: its settings are those under `judges`."
    )
    judges: Judges
    draws: int = Field(
        2,
        ge=1,
        description="Times the order of a pair is drawn with its probability (soft labels).",
    )
    hard_labels: bool = Field(False, description="Take the likelier order instead of drawing it.")
    helpful_ratio: float = Field(
        1.0, ge=0, description="Helpful comparisons for each AI comparison."
    )
    helpful_prompt_ratio: float = Field(
        1.0,
        ge=0,
        description="Helpful prompts for each red-team prompt in PPO. Much of its cost may be "
        "theirs: a plan says which share of the prompts they are.",
    )

    @field_validator("candidate")
    @classmethod
    def _different(cls, candidate: Sampling) -> Sampling:
        if not candidate.varies:
            raise ValueError(
                f"found greedy: {str(candidate.greedy).lower()}, top_k: {candidate.top_k}, so that "
                "all candidates of a prompt would be equal; accepted: greedy: false, and another "
                "top_k than 1"
            )
        return candidate


class Evaluation(Section):
    """Held-out prompts, and who scores the answers."""

    helpful: Source | None = Field(
        None, description="Held-out helpful prompts; null: the test part."
    )
    limit: int | None = Field(None, ge=1, description="Most prompts of each set; null: all.")
    answer: Sampling
    classifier: str | None = Field(
        None, description="Python file whose score(prompt, answer, finished) knows the truth."
    )
    harness: list[str] = Field(
        [],
        description="Tasks, groups or tags of lm-evaluation-harness (make harness) that each model "
        "is asked in its chat template, such as gsm8k, ifeval or mmlu. Multiple choice needs a "
        "server that scores prompts (NeMo's, or server.prompt_logprobs).",
    )
    harness_tasks: str | None = Field(
        None, description="Folder with tasks of your own, YAML files in the harness's form."
    )
    harness_limit: int | None = Field(
        None, ge=1, description="Most examples of each task; null: all."
    )
    harness_program: str = Field(
        ".envs/harness/bin/lm_eval", description="lm-evaluation-harness's own program."
    )
    remark: str = Field(
        "", description="What a reader of the report is to know first; empty: nothing."
    )
    expected: list[ExpectedWarning] = Field(
        [], description="Warnings that the data or the models explain; the report marks them."
    )

    @model_validator(mode="after")
    def _harness_is_asked(self) -> "Evaluation":
        for name in ("harness_tasks", "harness_limit"):
            found = getattr(self, name)
            if found is not None and not self.harness:
                raise ValueError(
                    f"{name}: found {found!r}, but `harness` names no task; accepted: null, or "
                    "the names of tasks in harness"
                )
        return self

    @property
    def for_harness(self) -> str:
        """What the harness's results depend on, as JSON of this section."""
        fields = ("harness", "harness_tasks", "harness_limit", "harness_program", "answer")
        return self.model_dump_json(include=set(fields))


class Estimates(Section):
    """What a plan assumes where no earlier run was measured; no result depends on it."""

    server_start: float = Field(300, ge=0, description="Seconds until a model server answers.")
    decode_steps: float = Field(
        25,
        gt=0,
        description="Decoding steps a second; each gives every prompt of a batch a token.",
    )
    served_tokens: float = Field(
        10_500,
        gt=0,
        description="Tokens a second of a server of kind openai, of all answers together: 7B on "
        "one H100 by the model of an engine in benchmarks/.",
    )
    judge_seconds: float = Field(2, gt=0, description="Seconds of an answer of a judge's service.")
    flops: float = Field(
        3.46e14, gt=0, description="FLOP/s of a GPU in training: 35 % of an H100's 989e12."
    )
    sft_tokens: int = Field(600, ge=1, description="Tokens of an SFT dialogue, on average.")
    dpo_tokens: int = Field(
        1500,
        ge=1,
        description="Tokens to which DPO pads both texts of a comparison: the longest of a batch.",
    )
    jobs: dict[str, Seconds] = Field(
        {},
        description="Seconds of a job, by its rule, where there is no formula (jobs without "
        "GPUs), as measured once.",
    )


class Settings(Section):
    """Everything that a run depends on."""

    results: str = Field(
        "results",
        description="The folder for everything that is made. In this and all other paths `~` and "
        "`$NAME` are filled in once, and `$$` stands for a dollar sign.",
    )
    seed: int = Field(
        1234, ge=0, le=MOST_SEED, description="Seed of every draw, sample and training."
    )
    constitution: str = Field(
        "config/constitution.yaml", min_length=1, description="The file with the principles."
    )
    few_shot: str | None = Field(
        "config/few_shot.yaml", min_length=1, description="Dialogues before a critique; null: none."
    )
    nemo: Nemo = Nemo()
    models: Models
    datasets: Datasets
    lengths: Lengths = Lengths()
    shards: int = Field(
        1,
        ge=1,
        le=MOST_SHARDS,
        description="Number of parts of generation and judging; each is a job.",
    )
    server: ServerSettings = ServerSettings()
    client: ClientSettings = ClientSettings()
    supervised: Supervised
    preferences: Preferences
    policies: list[Policy] = Field(
        ["rl_cai"],
        min_length=1,
        description="The last stages that are made, evaluated and reported: rl_cai (PPO), dpo_cai "
        "(DPO), best_of_n (SFT on the best candidates). Any other can be asked for by its file. "
        "REINFORCE is none of them: docs/policies.md says why.",
    )
    dpo: Dpo = Dpo()
    evaluation: Evaluation
    estimates: Estimates = Estimates()
    paper: Paper = Paper()
    evaluations: Evaluations = Evaluations()

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.preferences.judge == "chat" and self.preferences.judges.chat is None:
            raise ValueError(
                "preferences.judge: found 'chat', so preferences.judges.chat is required"
            )
        longest = self.supervised.response.max_tokens
        if longest >= self.lengths.context:
            raise ValueError(
                f"supervised.response.max_tokens: found {longest}; accepted: less than "
                f"lengths.context ({self.lengths.context})"
            )
        return self

    @field_validator("policies")
    @classmethod
    def _each_once(cls, policies: list[Policy]) -> list[Policy]:
        if len(set(policies)) < len(policies):
            raise ValueError(f"found {', '.join(policies)}; accepted: each once")
        return policies

    @field_validator("results")
    @classmethod
    def _a_folder(cls, results: str) -> str:
        if not results.strip(" ./") or not results.isprintable():
            raise ValueError("accepted: the name of a folder, such as results")
        try:
            there = next(path for path in (Path(results), *Path(results).parents) if path.exists())
        except OSError as error:  # a name of more than 255 bytes, a folder that may not be read
            reason = f"{error.strerror}".lower()
            raise ValueError(f"accepted: the name of a folder ({reason})") from None
        if not there.is_dir():
            raise ValueError(f"accepted: the name of a folder, but {there} is a file")
        places = (os.path.relpath(path) for path in (results, os.path.realpath(results)))
        own = [name for name in (place.split(os.sep)[0] for place in places) if name in PROJECTS]
        if own:
            raise ValueError(f"accepted: a folder apart from the project's own files in {own[0]}")
        return carried(results)

    @property
    def has_rewards(self) -> bool:
        """Whether a policy of this run learns from the reward model, so that there is one."""
        return bool(REWARDED & set(self.policies))

    @property
    def judge(self) -> AnyJudge:
        """The settings of the chosen judge."""
        judge: AnyJudge = getattr(self.preferences.judges, self.preferences.judge)
        return judge


def parse_settings(config: Mapping[str, Any], source: str = "configuration") -> Settings:
    """Check a merged configuration.

    Raises:
        UserError: the field, what was found and what is accepted.
    """
    filled = with_paths(_with_nulls(dict(config)), source)
    try:
        return Settings.model_validate(filled)
    except ValidationError as error:
        problem = describe(error, Settings)
        raise UserError(f"{source}: {problem}") from None


def _with_nulls(value: Any) -> Any:
    """A configuration with the null that Snakemake's ``--config`` reads as a text.

    Overrides keep theirs: there the text is Hydra's null.
    """
    match value:
        case dict():
            return {key: v if key == "overrides" else _with_nulls(v) for key, v in value.items()}
        case list():
            return [_with_nulls(item) for item in value]
    return None if value == "null" else value


def load_settings(paths: Sequence[Path | str]) -> Settings:
    """Read configuration files; a later one's fields win over an earlier one's.

    Raises:
        UserError: the file, the field, what was found and what is accepted.
    """
    origins = Origins.of(paths)
    try:
        return parse_settings(origins.merged())
    except UserError as error:
        raise UserError(origins.with_source(str(error))) from None
