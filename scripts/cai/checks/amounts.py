"""How many records a step will have before it has run, and whether they are enough."""

import gzip
import itertools
import zlib
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path

import pyarrow
import pyarrow.parquet

from cai.checks.batches import batches
from cai.checks.memory import parameters
from cai.checks.sizing import shapes_of
from cai.checks.stage_sizes import Sizing
from cai.core.errors import UserError
from cai.files.records import Ledger, open_bytes
from cai.files.rows import read_rows
from cai.nemo.values import Values
from cai.running.launch import Launch
from cai.settings.configuration import Settings
from cai.settings.sources import Source

MOST_HELD_OUT = 0.5


class Sizes:
    """Numbers of records: of files as they are now, of others as the configuration lets expect.

    An unknown number (a source on a hub without ``records``) counts as 0, and is listed in
    ``unknown``.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.unknown: set[str] = set()

    def records(self, path: str) -> int:
        """The records of a file of the results; of one that is not there, those to be expected."""
        if Path(path).is_file():
            return lines(Path(path))
        for name, count in self.expected.items():
            if path.endswith(f"/{name}"):  # wherever an experiment has its parts
                return count
        self.unknown.add(f"{path}: how many records it will have")
        return 0

    def parameters(self) -> int:
        """N: the parameters of the base model."""
        shape = shapes_of(self._settings)[0]["base"]
        if shape is None:
            self.unknown.add("models.base.shape: its sizes are not known before it is here")
            return 0
        sizing = Sizing("sft", (), Launch(), Values(self._settings, "sft"))
        return parameters(sizing, shape) * sizing.tensor * sizing.pipeline

    @cached_property
    def expected(self) -> dict[str, int]:
        """What each file out of a dataset will have, at most."""
        settings = self._settings
        held_out = settings.datasets.test_fraction
        red_team = self.of_source("datasets.red_team", settings.datasets.red_team)
        test = round(red_team * held_out)
        helpful = sum(
            self.of_source("datasets.helpful_preferences", source)
            for source in settings.datasets.helpful_preferences
        )
        asked = [round(helpful * held_out)]
        if settings.evaluation.helpful:
            asked = [self.of_source("evaluation.helpful", settings.evaluation.helpful)]
        most = settings.evaluation.limit
        revisions = settings.supervised.rounds if settings.supervised.train_on == "all" else 1
        revised = (red_team - test) * revisions
        pairwise = getattr(settings.judge, "pairwise", None)
        pairs: int = getattr(settings.judge, "pairs", 0) or getattr(pairwise, "pairs", 1)
        judged = (red_team - test) * pairs * settings.preferences.draws
        sft = self.of_source("datasets.helpful_sft", settings.datasets.helpful_sft)
        ratio = settings.supervised.helpful_ratio
        trained = red_team - test  # prompts
        return {
            "data/red_team/train.jsonl": red_team - test,
            "data/red_team/test.jsonl": test,
            "evaluation/prompts.jsonl": sum(min(n, most or n) for n in (test, *asked)),
            "sl_cai/train.jsonl": revised + min(sft, round(revised * ratio)),
            "best_of_n/train.jsonl": trained + min(sft, round(trained * ratio)),
            # two lines a comparison
            "rl_cai/train.comparisons.jsonl": 2
            * (judged + min(helpful, round(judged * settings.preferences.helpful_ratio))),
            "dpo_cai/train.jsonl": judged
            + min(helpful, round(judged * settings.preferences.helpful_ratio)),
            "rl_cai/train.prompts.jsonl": red_team
            - test
            + min(helpful, round((red_team - test) * settings.preferences.helpful_prompt_ratio)),
        }

    def of_source(self, field: str, source: Source) -> int:
        """The records of a source, as far as they are taken."""
        count = _lines_of(field, source) if source.is_local else source.records
        if count is None:
            self.unknown.add(f"{field}.records: how many {source.label} has is not stated")
            return 0
        return min(count, self._settings.datasets.limit or count)


def _lines_of(field: str, source: Source) -> int:
    try:
        return sum(map(lines, source.files))
    except UserError as error:
        raise UserError(f"{field}.source: {error}") from None


def problems(settings: Settings, asked: Collection[str] = ()) -> list[str]:
    """The first thing that all records together do not fill; none where they are not known.

    Args:
        settings: of the run.
        asked: rules of last stages that the run makes, beside its ``policies``.
    """
    return list(itertools.islice(_too_few(settings, asked), 1))


def _split(settings: Settings) -> Iterator[str]:
    """A held-out share of which no prompt is expected, or that leaves less than it takes."""
    datasets = settings.datasets
    share, field = datasets.test_fraction, "datasets.test_fraction"
    prompts = Sizes(settings).of_source("datasets.red_team", datasets.red_team)
    if share > MOST_HELD_OUT:
        yield f"{field}: found {share:g}; accepted: up to {MOST_HELD_OUT}, the rest is trained on"
    elif prompts and not datasets.limit and not round(prompts * share):
        yield (
            f"{field}: found {share:g}; accepted: at least {1 / prompts:.2g}, which is one of the "
            f"{prompts} prompts of datasets.red_team"
        )


def _too_few(settings: Settings, asked: Collection[str]) -> Iterator[str]:
    sizes, limit = Sizes(settings), settings.datasets.limit
    prompts = sizes.expected["data/red_team/train.jsonl"]
    sft = sizes.expected["sl_cai/train.jsonl"]
    comparisons = sizes.expected["rl_cai/train.comparisons.jsonl"] // 2
    rollouts = sizes.expected["rl_cai/train.prompts.jsonl"]
    yield from _split(settings)
    if sizes.unknown:
        return
    needed, held_out = batches(settings), settings.supervised.validation_size
    reward_model = "nemo.overrides.reward_model: model.global_batch_size"
    actor = "nemo.overrides.actor: model.ppo.num_rollout_samples"
    dpo, made = "nemo.overrides.dpo: model.global_batch_size", {*asked, *settings.policies}
    last_stages = {
        "rl_cai": ("prompts of PPO", actor, needed.rollouts, rollouts),
        "dpo_cai": ("comparisons", dpo, needed.pairs, comparisons),
    }
    for what, field, found, most in (
        ("prompts", "shards", settings.shards, prompts),
        ("SFT dialogues", "supervised.validation_size", held_out, sft - needed.sft_train),
        ("comparisons", reward_model, needed.comparisons, comparisons),
        *(batch for name, batch in last_stages.items() if name in made),
    ):
        enough = f"there are at most {max(most, 0)} {what} for it"
        if found > most and limit:
            yield (
                f"datasets.limit: found {limit}; accepted: more, or null: {field} is {found}, "
                f"and {enough}"
            )
        elif found > most:
            yield f"{field}: found {found}; accepted: up to {max(most, 0)}, since {enough}"


def lines(path: Path) -> int:
    """The records of a file: of JSON Lines, Parquet, CSV or a JSON list; malformed ones count.

    Raises:
        UserError: the file is none of these.
    """
    try:
        if path.suffix == ".parquet":
            return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
        if path.name.endswith((".json", ".json.gz")):  # one value, or a line each
            return sum(1 for _ in read_rows(path, Ledger("plan")))
        with open_bytes(path) as stream:
            return sum(1 for line in stream if line.strip())
    except (pyarrow.ArrowInvalid, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
