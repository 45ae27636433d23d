"""Human comparisons of helpfulness (hh-rlhf) in the text form of the chat template."""

from collections.abc import Container, Iterable, Iterator, Sequence
from functools import partial

from cai.core.digests import digest
from cai.data.comparisons import Line, PreferenceFiles, TextPair, write_comparisons
from cai.data.dialogues import (
    Malformed,
    dialogue_id,
    opening,
    parse_side,
    refuse_marks,
    require_answer,
)
from cai.data.splits import PARTS, Part, SplitOptions, Splitter
from cai.data.spool import Spool
from cai.data.usable_pairs import UsablePairs
from cai.files.records import Ledger, Record, record_id, uniform, write_jsonl
from cai.models.templates import Message, Template
from cai.models.tokens import LengthLimit
from cai.settings.sources import Source, read_source


class HelpfulPair(TextPair):
    """A comparison with its prompt; equal ones have one key."""

    key: str
    prompt: str


_Placed = tuple[Part, HelpfulPair]


def prepare_helpful_preferences(
    sources: Sequence[Source],
    outputs: PreferenceFiles,
    template: Template,
    length: LengthLimit,
    options: SplitOptions,
    excluded: Container[str] = (),
) -> Ledger:
    """Write the comparisons of ``{chosen, rejected}`` dialogues, and each prompt of theirs once.

    Dialogues with the same first human turn are in the same part. Chosen and rejected must differ
    in the last answer alone. Dialogues that begin with a prompt of the ``excluded`` ids, which the
    evaluation asks, are left out of the training part.

    Raises:
        UserError: if a source cannot be read, too many records are bad or a part stays empty.
    """
    ledger, splitter = Ledger("helpful_preferences"), Splitter(options)
    label = ", ".join(source.label for source in sources)
    with Spool[HelpfulPair](outputs.train_comparisons.parent) as spool:
        for part, pair in _pairs(sources, template, ledger, splitter, length):
            if part == "train" and pair["opening"] in excluded:
                ledger.leave_out("held-out prompt")
                continue
            spool.add(uniform("order", options.seed, pair["id"], pair["key"]), pair, part)
        ledger.check(options.max_bad_share, label)
        splitter.check(spool.groups(options.limit), label)
        for part in PARTS:
            pairs = ledger.kept(spool.records(options.limit, {part}))
            prompts = _distinct_prompts(spool.records(options.limit, {part}))
            ledger.notes[part] = {
                "comparisons": write_comparisons(outputs.comparisons(part), pairs),
                "prompts": write_jsonl(outputs.prompts(part), prompts),
            }
        ledger.leave_out("over the limit", len(spool) - ledger.out)
    ledger.write(outputs.train_comparisons)
    return ledger


def _pairs(
    sources: Iterable[Source],
    template: Template,
    ledger: Ledger,
    splitter: Splitter,
    length: LengthLimit,
) -> Iterator[_Placed]:
    """Yield the usable pairs, each once, with the parts of their first human turns."""
    usable = UsablePairs(
        ledger, length, equal="identical answers", duplicate="duplicate comparison"
    )
    for source in sources:
        for where, row in read_source(source, ledger):
            parse = partial(
                _placed, template=template, splitter=splitter, source=source, where=where
            )
            placed = usable.parsed(where, row, parse)
            if placed is None:
                continue
            _, pair = placed
            if usable.uses(where, pair["id"], (pair["chosen"], pair["rejected"]), pair["key"]):
                yield placed


def _placed(
    row: Record, template: Template, splitter: Splitter, source: Source, where: str
) -> _Placed:
    pair = pair_of(row, template)
    return splitter.part(pair["opening"], row, source, where), pair


def pair_of(row: Record, template: Template) -> HelpfulPair:
    """A comparison as texts.

    Raises:
        Malformed: with the reason.
    """
    prompt, chosen, rejected = _sides(row, template)
    texts = {
        "prompt": template.prompt(prompt),
        "chosen": template.closed([*prompt, chosen]),
        "rejected": template.closed([*prompt, rejected]),
    }
    first = record_id(opening(prompt))
    return {
        "id": dialogue_id(prompt),
        "opening": first,
        "key": digest(texts),
        "prompt": texts["prompt"],
        "chosen": texts["chosen"],
        "rejected": texts["rejected"],
    }


def _sides(row: Record, template: Template) -> tuple[list[Message], Message, Message]:
    """The shared prompt, the chosen and the rejected answer.

    Raises:
        Malformed: for a malformed side, prompts that differ, or a mark of the template in a text.
    """
    if row.get("chosen") is None or row.get("rejected") is None:
        raise Malformed("no chosen and rejected")
    chosen, rejected = (require_answer(parse_side(row[side])) for side in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise Malformed("chosen and rejected differ before the last answer")
    refuse_marks([*chosen, rejected[-1]], [template])
    return chosen[:-1], chosen[-1], rejected[-1]


def _distinct_prompts(pairs: Iterable[HelpfulPair]) -> Iterator[Line]:
    seen: set[str] = set()
    for pair in pairs:
        if pair["id"] not in seen:
            seen.add(pair["id"])
            yield {"id": pair["id"], "opening": pair["opening"], "text": pair["prompt"]}
