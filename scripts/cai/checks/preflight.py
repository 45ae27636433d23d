"""What is checked, and computed for the rules, before any job starts."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cai.checks.batches import batches
from cai.checks.rule_kinds import kind_of
from cai.checks.vocabulary import check_vocabulary
from cai.core.digests import canonical_json
from cai.core.errors import UserError, fail_if
from cai.data.dialogues import turn_marks
from cai.data.dpo_dataset import DpoOptions
from cai.data.rl_dataset import RlOptions
from cai.data.sl_dataset import SlOptions
from cai.evaluation import harness
from cai.evaluation.classifier import check_classifier
from cai.files.paths import check_carried
from cai.models.own_template import own_template
from cai.models.shape import read_hf
from cai.models.templates import AUTO, Message
from cai.models.tokenizer_kinds import TOKENIZER_JSON
from cai.models.tokens import (
    SENTENCEPIECE,
    Tokenizer,
    small_files,
    tokenizer_of_folder,
    tokenizer_that_fits,
)
from cai.nemo import programs
from cai.nemo.values import Program
from cai.settings.configuration import Settings, parse_settings
from cai.settings.constitution import (
    STAGE_TEXTS,
    TEXTS,
    Principle,
    for_stage,
    load_constitution,
    load_few_shot,
)
from cai.settings.sources import SUFFIXES, Source

LONGEST_TEXTS = 131_072 - 24_576  # bytes: of one argument, less those of the rest of a command
# That a model's folder has, whatever its weights: one of each.
MODEL_FILES = (("config.json",), (SENTENCEPIECE, TOKENIZER_JSON))


def check(
    config: Mapping[str, Any], source: str = "configuration"
) -> tuple[Settings, dict[str, list[str]], list[str]]:
    """Check the configuration, the constitution and the few-shot dialogues.

    Needs no network, no key and no NeMo. ``source`` names the configuration in messages.

    Returns:
        The settings; the principles of each stage, a JSON text each;
        the few-shot dialogues, a JSON text each.

    Raises:
        UserError: file and field of the first mistake.
    """
    settings = parse_settings(config, source)
    programs.check_template(settings.models.base.template)
    for field in ("constitution", "few_shot"):
        path = getattr(settings, field)
        fail_if(
            path is not None and os.path.isdir(path),
            f"{source}: {field}: found {path}, a folder; accepted: a YAML or JSON file",
        )
    constitution = load_constitution(settings.constitution)
    principles: dict[str, list[str]] = {
        stage: [canonical_json(texts) for texts in for_stage(constitution, stage)]
        for stage in STAGE_TEXTS
    }
    check_files(settings)
    dialogues = load_few_shot(settings.few_shot)
    check_marks(settings, constitution, dialogues)
    check_vocabulary(settings.models.instruct, constitution, settings.constitution)
    held_out, batch = settings.supervised.validation_size, batches(settings).sft_validation
    fail_if(
        held_out < batch,
        f"{source}: supervised.validation_size: must be at least one batch of {batch} "
        f"(nemo.overrides.sft: model.data.validation_ds.global_batch_size), found {held_out}",
    )
    check_samplings(settings)
    few_shot = [canonical_json(dialogue) for dialogue in dialogues]
    check_argument_sizes(settings, principles, few_shot)
    return settings, principles, few_shot


def check_marks(
    settings: Settings, constitution: Sequence[Principle], dialogues: Sequence[Sequence[Message]]
) -> None:
    """Check that no principle and no few-shot dialogue holds a mark of the chat templates.

    With one, a text could end its turn and write the answer to itself.

    Raises:
        UserError: file and field of the first such text.
    """
    texts = {
        f"{settings.constitution}: principles[{principle.id}].{name}": getattr(principle, name)
        for principle in constitution
        for name in TEXTS
    }
    texts |= {
        f"{settings.few_shot}: samples[{number}][{place}].content": turn["content"]
        for number, dialogue in enumerate(dialogues, 1)
        for place, turn in enumerate(dialogue, 1)
    }
    for name in ("instruct", "base"):
        found = known_marks(settings, name)
        for where, text in texts.items():
            held = [mark for mark in found if mark in (text or "")]
            mark = min(held, key=(text or "").index, default=None)
            fail_if(
                mark is not None,
                f"{where}: found {mark!r}, which begins or ends a turn in "
                f"models.{name}.template; accepted: text without the template's marks",
            )


def known_marks(settings: Settings, name: str) -> list[str]:
    """The marks of a model's template; none if it is in a model that is not here yet."""
    model = getattr(settings.models, name)
    if model.template != AUTO:
        return turn_marks(model.template)
    if not model.is_local:
        return []
    folder = Path(model.source)
    return turn_marks(own_template(small_files(folder), tokenizer_of_folder(folder), str(folder)))


def check_argument_sizes(
    settings: Settings, principles: Mapping[str, Sequence[str]], few_shot: Sequence[str]
) -> None:
    """Check that the texts which a job's command holds leave room for the rest of it.

    A shell is given the whole command as one argument, and Linux takes 128 KiB of one.

    Raises:
        UserError: the file whose texts are too long.
    """
    sizes = {name: _quoted_size(texts) for name, texts in principles.items()}
    dialogues = _quoted_size(few_shot)
    for stage, size in sizes.items():
        fail_if(
            size > LONGEST_TEXTS,
            f"constitution: {settings.constitution}: the {stage} texts of all principles have "
            f"{size:,} bytes on a command line; accepted: at most {LONGEST_TEXTS:,}",
        )
    room = LONGEST_TEXTS - sizes["supervised"]
    fail_if(
        dialogues > room,
        f"few_shot: {settings.few_shot}: the dialogues have {dialogues:,} bytes on a command line; "
        f"accepted: at most {room:,}, beside the principles",
    )


def _quoted_size(texts: Iterable[str]) -> int:
    return sum(len(shlex.quote(text).encode()) + 1 for text in texts)


def check_samplings(settings: Settings) -> None:
    """Check that the server understands every sampling of the run.

    Raises:
        UserError: naming the field of the configuration.
    """
    supervised = settings.supervised
    samplings = {
        "supervised.response": supervised.response,
        "supervised.critique": supervised.critique,
        "supervised.revision": supervised.revision,
        "preferences.candidate": settings.preferences.candidate,
        "evaluation.answer": settings.evaluation.answer,
    }
    if settings.server.kind == "nemo" or settings.server.extensions:
        return
    for name, sampling in samplings.items():
        fail_if(
            sampling.extended,
            f"{name}: found {' and '.join(sampling.extended)}, but the server takes OpenAI's "
            "parameters only (server.extensions: false); accepted: top_k: 0 or greedy: true, "
            "repetition_penalty: 1.0",
        )


def check_surroundings(
    settings: Settings, rules: Collection[str], here: Collection[str] | None = None
) -> None:
    """Check what only a real run of these rules needs: the judge's key, and NeMo.

    Args:
        settings: of the run.
        rules: that are to run.
        here: those of them that find NeMo on this host, by default all; in a container, a job
            looks for it (:func:`cai.checks.cluster.check_nemo`).

    Raises:
        UserError: naming the environment variable, or the field of the configuration.
    """
    if "harness" in rules:
        harness.check_tasks(settings.evaluation, scores_prompts=settings.server.scores_prompts)
    missing, judge = missing_key(settings), settings.preferences.judge
    kinds = [kind_of(rule) for rule in rules]
    fail_if(missing and any(kind.what == "judging" for kind in kinds), missing)
    found = kinds if here is None else [kind_of(rule) for rule in here]
    needed = [kind for kind in found if kind.runs_nemo or kind.needs_gpus(judge)]
    started = {_nemo_program(name) for kind in needed for name in kind.programs}
    served = settings.server.kind == "openai" and "server" in started
    if served:
        program = settings.server.command[0]
        fail_if(not shutil.which(program), f"server.command: {program}: no such program")
        started.remove("server")
    if started or any(not kind.programs for kind in needed):
        check_nemo_is_here(settings, started)


def _nemo_program(name: Program) -> programs.Program:
    """Which of NeMo's programs a job runs: both models have the same server."""
    return "server" if name == "instruct_server" else name


def missing_key(settings: Settings) -> str:
    """The message if the judge needs a key that is not in the environment, else empty."""
    variable = getattr(settings.judge, "key_variable", None)
    if not variable or os.environ.get(variable):
        return ""
    url = getattr(settings.judge, "url", "")
    return f"the judge at {url} needs a key: set the environment variable {variable}"


def check_nemo_is_here(settings: Settings, names: Iterable[programs.Program]) -> None:
    """Check that NeMo's Python runs and that its programs are there.

    Raises:
        UserError: naming the field of the configuration.
    """
    python = settings.nemo.python
    fail_if(not shutil.which(python), f"nemo.python: {python}: no such program")
    try:
        done = subprocess.run([python, "--version"], capture_output=True, text=True)
    except OSError as error:
        raise UserError(f"nemo.python: {python} does not run: {error.strerror}") from None
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    fail_if(done.returncode, f"nemo.python: {python} does not run: {said[-1]}")
    for name in sorted(names):
        field = "root" if name == "server" else "aligner_root"
        path = programs.program(settings, name)[1]
        fail_if(
            not Path(path).is_file(),
            f"nemo.{field}: {getattr(settings.nemo, field)}: found no {programs.PROGRAMS[name]}",
        )


def check_files(settings: Settings) -> None:
    """Check that every local file which the configuration names is there.

    Raises:
        UserError: naming the first that is not.
    """
    for field, source in sources(settings):
        _check_source(field, source)
        check_carried(f"{field}.source", source.files)
    for name in ("base", "instruct"):
        check_carried(f"models.{name}.source", model_files(settings, name))
        check_tokenizer(settings, name)
    if settings.evaluation.classifier:
        check_carried("evaluation.classifier", [Path(settings.evaluation.classifier)])
        check_classifier(Path(settings.evaluation.classifier))


def sources(settings: Settings) -> list[tuple[str, Source]]:
    """All sources of records with the fields that name them."""
    datasets, evaluations = settings.datasets, settings.evaluations
    found: dict[str, Source | None] = {
        "datasets.red_team": datasets.red_team,
        "datasets.helpful_sft": datasets.helpful_sft,
        **{
            f"datasets.helpful_preferences.{number}": source
            for number, source in enumerate(datasets.helpful_preferences)
        },
        "evaluation.helpful": settings.evaluation.helpful,
        **{
            f"evaluations.{name}": source
            for name, source in evaluations
            if isinstance(source, Source)
        },
        "paper.harmfulness.ratings": settings.paper.harmfulness.ratings,
    }
    return [(field, source) for field, source in found.items() if source is not None]


def _check_source(field: str, source: Source) -> None:
    try:
        found = source.files
    except UserError as error:
        raise UserError(f"{field}.source: {error}") from None
    for path in found:
        fail_if(
            not path.is_file() or not path.name.endswith(SUFFIXES),
            f"{field}.source: found {path}; accepted: files that end in {', '.join(SUFFIXES)}",
        )


def model_files(settings: Settings, name: str) -> list[Path]:
    """The files of a model's local folder; none for one from a hub.

    Raises:
        UserError: if the folder is missing, or has no model.
    """
    model = getattr(settings.models, name)
    if not model.is_local:
        return []
    found = sorted(path for path in Path(model.source).glob("*") if path.is_file())
    where = f"models.{name}.source: {model.source}"
    fail_if(
        Path(model.source).is_file(),
        f"{where}: found a file; accepted: a Hugging Face folder with its tokenizer",
    )
    fail_if(not found, f"{where}: no such folder, or it is empty")
    names = {path.name for path in found}
    missing = [" or ".join(files) for files in MODEL_FILES if not names.intersection(files)]
    fail_if(
        missing,
        f"{where}: found no {', '.join(missing)}; accepted: a Hugging Face folder with its "
        "tokenizer",
    )
    return found


def check_tokenizer(settings: Settings, name: str) -> None:
    """Check the tokenizer of a local model, and that its template fits one of Hugging Face's.

    Raises:
        UserError: naming the field of the configuration.
    """
    model = getattr(settings.models, name)
    folder, config = Path(model.source), Path(model.source, "config.json")
    if not model.is_local:
        return
    kind = tokenizer_that_fits(folder, read_hf(config).vocab, str(config))
    if model.template == AUTO:
        own_template(small_files(folder), kind, str(folder))
        return
    if not kind.is_huggingface:
        return
    tokenizer = Tokenizer(folder)
    if name == "base":
        programs.check_tokenizer(model.template, tokenizer, str(folder))
    fail_if(
        model.template.add_bos and not tokenizer.has_bos,
        f"models.{name}.template.add_bos: found true, but the tokenizer in {folder} has no BOS "
        "token; accepted: false",
    )


def model_source(settings: Settings, name: str) -> list[str]:
    """The options that name a pretrained model."""
    model = getattr(settings.models, name)
    return ["--source", model.source, *(["--revision", model.revision] if model.revision else [])]


def prompt_length(settings: Settings) -> int:
    """The longest prompt that PPO takes, in tokens.

    The answer needs its room, and NeMo-Aligner's RLHFDataset skips what is longer than half of the
    sequence.
    """
    return min(settings.lengths.rl - settings.lengths.answer, settings.lengths.rl // 2)


def sl_options(settings: Settings) -> str:
    """What goes into the SFT set, as JSON."""
    supervised = settings.supervised
    return SlOptions(
        seed=settings.seed,
        train_on=supervised.train_on,
        helpful_ratio=supervised.helpful_ratio,
        validation_size=supervised.validation_size,
        min_train=batches(settings).sft_train,
        max_bad_share=settings.datasets.max_bad_share,
    ).model_dump_json()


def rl_options(settings: Settings, other: Mapping[str, Any] | None = None) -> str:
    """What goes into the comparisons and the prompts, as JSON; ``other`` fields win."""
    preferences = settings.preferences
    options = RlOptions(
        seed=settings.seed,
        test_fraction=settings.datasets.test_fraction,
        draws=preferences.draws,
        hard=preferences.hard_labels,
        helpful_ratio=preferences.helpful_ratio,
        helpful_prompt_ratio=preferences.helpful_prompt_ratio,
        min_comparisons=batches(settings).comparisons,
        min_train_prompts=batches(settings).rollouts,
        min_test_prompts=batches(settings).validation_rollouts,
        max_bad_share=settings.datasets.max_bad_share,
    )
    return options.model_copy(update=other or {}).model_dump_json()


def dpo_options(settings: Settings) -> str:
    """What becomes of a comparison in the data of DPO, as JSON."""
    return DpoOptions(
        ties=settings.dpo.ties,
        certainty=settings.dpo.certainty,
        min_pairs=batches(settings).pairs,
    ).model_dump_json()


def evaluation_files(settings: Settings, test_prompts: str) -> list[Path] | str:
    """Where the held-out helpful prompts are: files of a source, or the preferences' test part."""
    source = settings.evaluation.helpful
    return test_prompts if source is None else source.files


def held_out_sources(settings: Settings) -> list[Source]:
    """The sources of prompts that the evaluation asks, which no training set may hold."""
    return [settings.evaluation.helpful] if settings.evaluation.helpful else []


def helpful_prompts(settings: Settings, test_prompts: str) -> list[str]:
    """The options that name the held-out helpful prompts: a source's, or the test set's."""
    source = settings.evaluation.helpful
    if source is not None:
        return ["--helpful", source.model_dump_json()]
    template = settings.models.base.template.model_dump_json()
    return ["--helpful-prompts", test_prompts, "--template", template]
