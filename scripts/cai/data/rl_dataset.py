"""The data of the RL stage: AI comparisons with soft labels, blended with human helpfulness."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean
from typing import NamedTuple, TypedDict

from pydantic import Field

from cai.core.digests import digest
from cai.core.errors import fail_if
from cai.core.fields import Section
from cai.data.comparisons import (
    Line,
    PreferenceFiles,
    TextPair,
    read_comparisons,
    write_comparisons,
)
from cai.data.dialogues import Malformed, parse_turns, refuse_marks
from cai.data.splits import PARTS, Part
from cai.data.spool import Blend
from cai.data.usable_pairs import UsablePairs
from cai.files.records import (
    Ledger,
    Record,
    Row,
    read_jsonl_tolerant,
    read_records,
    uniform,
    write_jsonl,
)
from cai.models.templates import Template
from cai.models.tokens import LengthLimit


class RlOptions(Section):
    """What goes into the comparisons and the prompts."""

    seed: int = Field(1234, description="Seed of every draw.")
    test_fraction: float = Field(
        0.05, gt=0, lt=1, description="Share of AI-judged prompts held out."
    )
    draws: int = Field(2, ge=1, description="Times the order of a pair is drawn.")
    hard: bool = Field(False, description="Take the likelier order instead of drawing it.")
    helpful_ratio: float = Field(1.0, ge=0, description="Helpful for each AI comparison, at most.")
    helpful_prompt_ratio: float = Field(1.0, ge=0, description="The same for PPO's prompts.")
    min_comparisons: int = Field(1, ge=1, description="Fewest of each part: the global batch.")
    min_train_prompts: int = Field(1, ge=1, description="Fewest: the rollouts of a step.")
    min_test_prompts: int = Field(1, ge=1, description="Fewest: the rollouts of a validation.")
    max_bad_share: float = Field(0.05, ge=0, le=1, description="Share that may be unusable.")


class Judged(TypedDict):
    """A judged pair as closed texts in alphabetical order; equal ones have one key."""

    id: str
    principle: str | None
    first: str
    second: str
    p_first: float
    key: str


class Verdict(NamedTuple):
    """What the judge said of two texts: the probability of the first in the alphabet.

    Where several principles have judged the same texts it is the mean, as it is of the draws.
    """

    p_first: float
    principles: tuple[str, ...]

    def of(self, text: str, other: str) -> float:
        """The probability that ``text`` is the better one."""
        return self.p_first if text <= other else 1 - self.p_first


class Split:
    """The part of a prompt that the judge saw.

    These are training prompts of the red-team set; some of them are held out here to test the
    reward model on. A prompt that the human comparisons hold too goes where they have it.
    """

    def __init__(self, helpful: PreferenceFiles, options: RlOptions) -> None:
        self.options = options
        self._openings: dict[str, Part] = {
            row["opening"]: part
            for part in PARTS
            for row in read_records(helpful.prompts(part), Line)
        }

    def part(self, prompt: str) -> Part:
        """The part of the prompt with this id."""
        drawn = uniform("test comparisons", self.options.seed, prompt)
        return self._openings.get(prompt, "test" if drawn < self.options.test_fraction else "train")


def build_comparisons(
    preferences: Sequence[Path],
    helpful: PreferenceFiles,
    outputs: PreferenceFiles,
    *,
    template: Template,
    length: LengthLimit,
    options: RlOptions,
) -> Ledger:
    """Write the comparisons of both parts; the ledger counts pairs, each drawn ``draws`` times.

    What does not fit the reward model's sequence is dropped: NeMo-Aligner would silently train on
    another comparison in its place. Source: RewardModelDataset of NeMo-Aligner 0.7.0.

    Raises:
        UserError: if too many records are bad or a part has too few comparisons.
    """
    ledger = Ledger("rl_cai comparisons")
    split = Split(helpful, options)
    with _blends(outputs.train_comparisons.parent, options.helpful_ratio, TextPair) as blends:
        for pair in judged_pairs(preferences, ledger, template, length, options):
            _spool_draws(pair, blends[split.part(pair["id"])], options)
            ledger.out += 1
        ledger.check(options.max_bad_share, "preferences")
        for part, blend in blends.items():
            _spool_human(helpful.comparisons(part), blend, ledger, length, options.seed)
        ledger.check(options.max_bad_share, "preferences and helpful comparisons")
        fewest = dict.fromkeys(PARTS, (options.min_comparisons, "model.global_batch_size"))
        _check_sizes(blends, "comparisons", fewest)
        for part, blend in blends.items():
            write_comparisons(outputs.comparisons(part), blend.records())
            ledger.out += blend.helpful_taken
            ledger.leave_out("helpful beyond the ratio", blend.helpful_left)
            ledger.notes[part] = {"ai": len(blend.harmless), "helpful": blend.helpful_taken}
    ledger.write(outputs.train_comparisons)
    return ledger


def judged_pairs(
    preferences: Sequence[Path],
    ledger: Ledger,
    template: Template,
    length: LengthLimit,
    options: RlOptions,
) -> Iterator[Judged]:
    """Yield the usable pairs, in one order whichever answer was called ``a``."""
    usable = UsablePairs(ledger, length, equal="equal answers", duplicate="duplicate judgement")
    for where, row in _rows(preferences, ledger):
        pair = usable.parsed(where, row, lambda row: _pair(row, template))
        if pair is None:
            continue
        tie = "tie" if options.hard and pair["p_first"] == 0.5 else None
        if usable.uses(where, pair["id"], (pair["first"], pair["second"]), pair["key"], tie):
            yield pair


def _pair(row: Record, template: Template) -> Judged:
    """A judged pair as closed texts in alphabetical order, and the probability of the first.

    Raises:
        Malformed: with the reason.
    """
    sides = [parse_turns(_dialogue(row, side)) for side in ("a", "b")]
    refuse_marks([turn for side in sides for turn in side], [template])
    p_a = row.get("p_a")
    if isinstance(p_a, bool) or not isinstance(p_a, int | float) or not 0 <= p_a <= 1:
        raise Malformed("p_a is not a probability")
    first, second = (template.closed(side) for side in sides)
    if first > second:
        first, second, p_a = second, first, 1 - p_a
    principle = row.get("principle")
    return {
        "id": row["id"],
        "principle": principle,
        "first": first,
        "second": second,
        "p_first": p_a,
        "key": digest([principle, first, second]),
    }


def verdicts(preferences: Sequence[Path], template: Template) -> Mapping[str, Verdict]:
    """What the judge said of each two texts, see :func:`pair_key` for the keys."""
    found: dict[str, list[Judged]] = defaultdict(list)
    every, unread = LengthLimit(None, None), Ledger("preferences")
    for pair in judged_pairs(preferences, unread, template, every, RlOptions()):
        found[pair_key(pair["id"], pair["first"], pair["second"])].append(pair)
    return {
        key: Verdict(
            mean(pair["p_first"] for pair in pairs),
            tuple(sorted({pair["principle"] for pair in pairs if pair["principle"]})),
        )
        for key, pairs in found.items()
    }


def pair_key(record: str, *texts: str) -> str:
    """The key of a record's two texts, whichever comes first."""
    return digest([record, *sorted(texts)])


def _dialogue(row: Record, side: str) -> list[Record]:
    """The turns of one side, as they stand in the row: :func:`parse_turns` checks them."""
    if not isinstance(row.get("id"), str):
        raise Malformed("no id")
    return [
        {"role": "user", "content": row.get("prompt")},
        {"role": "assistant", "content": row.get(side)},
    ]


def _spool_draws(pair: Judged, blend: Blend[TextPair], options: RlOptions) -> None:
    """Draw the order of a pair so that, over the draws, ``first`` is chosen with its probability.

    The mean of the reward model's loss over the draws is an unbiased estimate of the loss with the
    soft label; with hard labels the likelier answer is always chosen.
    """
    for draw in range(options.draws):
        drawn = uniform("label", options.seed, pair["id"], pair["key"], draw)
        first_chosen = (0.5 if options.hard else drawn) < pair["p_first"]
        texts = pair["first"], pair["second"]
        chosen, rejected = texts if first_chosen else texts[::-1]
        row: TextPair = {
            "id": pair["id"],
            "opening": pair["id"],
            "chosen": chosen,
            "rejected": rejected,
        }
        place = uniform("order", options.seed, pair["id"], pair["key"], draw)
        blend.harmless.add(place, row)


def _spool_human(
    path: Path, blend: Blend[TextPair], ledger: Ledger, length: LengthLimit, seed: int
) -> None:
    usable = UsablePairs(ledger, length)  # the file has each once, and its texts differ
    for number, pair in enumerate(read_comparisons(path)):
        ledger.count_in()
        texts = pair["chosen"], pair["rejected"]
        if usable.fits(f"{path}:{2 * number + 1}", pair["id"], texts):
            key = digest(list(texts))
            blend.helpful.add(uniform("order", seed, pair["id"], key), pair)


def build_prompts(
    preferences: Sequence[Path],
    helpful: PreferenceFiles,
    outputs: PreferenceFiles,
    *,
    template: Template,
    length: LengthLimit,
    options: RlOptions,
) -> Ledger:
    """Write PPO's prompts of both parts, each once: those that were judged, and helpful ones.

    What is too long is dropped: NeMo-Aligner would roll out another prompt in its place. Source:
    RLHFDataset of NeMo-Aligner 0.7.0.

    Raises:
        UserError: if too many records are bad or a part has too few prompts.
    """
    ledger = Ledger("rl_cai prompts")
    split = Split(helpful, options)
    seen: set[str] = set()
    with _blends(outputs.train_prompts.parent, options.helpful_prompt_ratio, Line) as blends:
        for where, row in _harmful_prompts(preferences, ledger, template):
            if _wanted(row, where, seen, ledger, length):
                spool = blends[split.part(row["id"])].harmless
                spool.add(uniform("order", options.seed, row["id"]), row)
        for part, blend in blends.items():
            for row in read_records(helpful.prompts(part), Line):
                ledger.count_in()
                if _wanted(row, str(helpful.prompts(part)), seen, ledger, length):
                    blend.helpful.add(uniform("order", options.seed, row["id"]), row)
        ledger.check(options.max_bad_share, "prompts")
        fewest: dict[Part, tuple[int, str]] = {
            "train": (options.min_train_prompts, "model.ppo.num_rollout_samples"),
            "test": (options.min_test_prompts, "model.ppo.num_val_samples"),
        }
        _check_sizes(blends, "prompts", fewest)
        for part, blend in blends.items():
            write_jsonl(outputs.prompts(part), ledger.kept(blend.records()))
            ledger.leave_out("helpful beyond the ratio", blend.helpful_left)
            ledger.notes[part] = {"ai": len(blend.harmless), "helpful": blend.helpful_taken}
    ledger.write(outputs.train_prompts)
    return ledger


def _harmful_prompts(
    preferences: Sequence[Path], ledger: Ledger, template: Template
) -> Iterator[tuple[str, Line]]:
    for where, row in _rows(preferences, ledger):
        try:
            messages = parse_turns(_dialogue(row, "a"))[:1]
            refuse_marks(messages, [template])
        except Malformed as error:
            ledger.drop(str(error), where=where, record=row)
            continue
        yield where, {"id": row["id"], "opening": row["id"], "text": template.prompt(messages)}


def _wanted(row: Line, where: str, seen: set[str], ledger: Ledger, length: LengthLimit) -> bool:
    """Whether a prompt is new and fits; if not, it is counted."""
    if row["id"] in seen:
        ledger.leave_out("duplicate prompt")
    elif not length.fits(row["text"]):
        ledger.drop("prompt too long", where=where, record=row["id"], bad=False)
    else:
        seen.add(row["id"])
        return True
    return False


def _rows(paths: Sequence[Path], ledger: Ledger) -> Iterator[tuple[str, Record]]:
    for path in paths:
        yield from read_jsonl_tolerant(path, ledger)


@contextmanager
def _blends(folder: Path, ratio: float, kind: type[Row]) -> Iterator[dict[Part, Blend[Row]]]:
    """A blend of each part, of this kind of records."""
    with ExitStack() as stack:
        yield {part: stack.enter_context(Blend(folder, ratio)) for part in PARTS}


def _check_sizes(
    blends: Mapping[Part, Blend[Row]], what: str, fewest: Mapping[Part, tuple[int, str]]
) -> None:
    """Refuse a part that does not fill one batch: NeMo would fail on it, in the end."""
    for part, blend in blends.items():
        size, name = fewest[part]
        fail_if(
            len(blend) < size,
            f"{part} {what}: {len(blend)} are left, one batch needs {size} ({name}); give more "
            "prompts, another held-out share (datasets.test_fraction) or a smaller batch",
        )
