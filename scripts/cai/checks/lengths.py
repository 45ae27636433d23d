"""Whether lengths fit the models and each other, and whether turns end where they should."""

from collections.abc import Iterable, Iterator, Mapping

from cai.checks.preflight import prompt_length
from cai.checks.stage_sizes import Sizing
from cai.models.shape import ModelShape
from cai.models.templates import Template
from cai.nemo.keys import TRT_LLM
from cai.nemo.values import Program
from cai.settings.configuration import Settings


def context_problems(settings: Settings, name: str, shape: ModelShape) -> Iterator[str]:
    """Lengths that are more than a model takes."""
    lengths = settings.lengths
    limits = (
        [("sft", lengths.sft, shape.context), ("rl", lengths.rl, shape.context)]
        if name == "base"
        else [("context", lengths.context, shape.served)]  # clip_max_len cuts what is longer
    )
    for field, found, most in limits:
        if found > most:
            accepted = f"up to {most}, which models.{name} takes"
            yield f"lengths.{field}: found {found}; accepted: {accepted}"


def answer_problems(settings: Settings) -> Iterator[str]:
    """Answers that leave no room for a prompt in what their server takes."""
    lengths, supervised = settings.lengths, settings.supervised
    sampled = [
        ("supervised.critique", supervised.critique, ("context",)),
        ("supervised.revision", supervised.revision, ("context",)),
        ("preferences.candidate", settings.preferences.candidate, ("sft", "rl")),
        ("evaluation.answer", settings.evaluation.answer, ("context", "sft", "rl")),
    ]
    for field, sampling, names in sampled:
        most, name = min((getattr(lengths, name), name) for name in names)
        if sampling.max_tokens >= most:
            yield (
                f"{field}.max_tokens: found {sampling.max_tokens}; accepted: less than "
                f"lengths.{name} ({most}), which holds the prompt too"
            )


def override_problems(settings: Settings, programs: Mapping[Program, Sizing]) -> Iterator[str]:
    """Overrides of lengths that disagree with the data that is cut by ``lengths``."""
    lengths = settings.lengths
    cut: tuple[tuple[Program, str, int, str], ...] = (
        ("sft", "model.data.train_ds.max_seq_length", lengths.sft, "lengths.sft"),
        ("reward_model", "model.data.seq_length", lengths.rl, "lengths.rl"),
        ("dpo", "model.data.seq_length", lengths.rl, "lengths.rl"),
    )
    for program, key, least, what in cut:
        sizing = programs.get(program)
        if not sizing:
            continue
        found, most = sizing.size(key), sizing.size("model.encoder_seq_length")
        if not least <= found <= most:
            yield sizing.line(key, found, f"from {what} {least} to model.encoder_seq_length {most}")
    if "actor" in programs:
        yield from _rollouts(settings, programs["actor"], programs.get("critic"))


def _rollouts(settings: Settings, actor: Sizing, critic: Sizing | None) -> Iterator[str]:
    prompt, values = prompt_length(settings), actor.values
    answer = actor.size("model.ppo.length_params.max_length")
    if actor.size("model.data.seq_length") // 2 < prompt:  # RLHFDataset
        yield actor.line(
            "model.data.seq_length",
            actor.size("model.data.seq_length"),
            f"at least {2 * prompt}: prompts have up to {prompt} tokens, and longer ones than half "
            "of it are replaced",
        )
    needed = f"at least {prompt + answer}: a prompt of {prompt} tokens and an answer of {answer}"
    for key in ("model.encoder_seq_length", "remote_critic_rm.pad_to_length"):
        found = values.get(key)  # clip_max_len; RemoteGPTRMCriticClient.infer_rm_critic
        if isinstance(found, int) and found < prompt + answer:
            yield actor.line(key, found, needed)
    if values.get(f"{TRT_LLM}.enable"):
        most = values.get(key := f"{TRT_LLM}.max_input_len")
        if isinstance(most, int) and most < prompt:
            yield actor.line(key, most, f"at least {prompt}, the longest prompt")
    padded = values.get("remote_critic_rm.pad_to_length")
    room = critic.size("model.encoder_seq_length") if critic else padded
    if isinstance(padded, int) and padded > room:
        key = "remote_critic_rm.pad_to_length"
        yield actor.line(key, padded, f"up to the critic's model.encoder_seq_length {room}")


def template_problems(settings: Settings) -> Iterator[str]:
    """Turns end in generation where they end in training, else answers run on."""
    for name in ("base", "instruct"):
        template = getattr(settings.models, name).template
        if (
            isinstance(template, Template)
            and template.close
            and not _stops(template.stop, template)
        ):
            yield (
                f"models.{name}.template.stop: found {template.stop}; accepted: a list with "
                f"{template.close!r}, in which a turn ends (close)"
            )


def _stops(stop: Iterable[object], template: Template) -> bool:
    return any(isinstance(text, str) and text and text in template.close for text in stop)
