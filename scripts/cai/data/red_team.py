"""Red-team prompts: the first human turn of each transcript, without repetition, in two parts."""

from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from cai.data.dialogues import Malformed, first_prompt, refuse_marks
from cai.data.splits import Part, SplitOptions, Splitter
from cai.data.spool import Spool
from cai.files.records import Ledger, Prompt, record_id, uniform, write_jsonl
from cai.models.templates import Template, single_turn
from cai.models.tokens import LengthLimit
from cai.settings.sources import Source, read_source


class RedTeamPrompt(Prompt):
    """A prompt, and the dataset that it came from."""

    source: str


def prepare_red_team(
    source: Source,
    outputs: dict[Part, Path],
    length: LengthLimit,
    options: SplitOptions,
    templates: Sequence[Template] = (),
    excluded: Container[str] = (),
) -> Ledger:
    """Write ``{"id", "prompt", "source"}`` of each distinct prompt to the file of its part.

    Records come in the order of a hash; with ``limit`` the first are taken, so a smaller limit
    gives a subset of a larger one's. A prompt with a mark of one of the ``templates`` in which
    models will see it is left out: it could end the user's turn. The prompts with the ``excluded``
    ids, which the evaluation asks, are left out of the training part.

    Raises:
        UserError: if the source cannot be read, too many records are bad or a part stays empty.
    """
    ledger, splitter = Ledger("red_team"), Splitter(options)
    with Spool[RedTeamPrompt](outputs["train"].parent) as spool:
        for part, record in _prompts(source, ledger, splitter, length, templates):
            if part == "train" and record["id"] in excluded:
                ledger.leave_out("held-out prompt")
                continue
            spool.add(uniform("order", options.seed, record["id"]), record, part)
        ledger.check(options.max_bad_share, source.label)
        splitter.check(spool.groups(options.limit), source.label)
        for part, path in outputs.items():
            rows = ledger.kept(spool.records(options.limit, {part}))
            ledger.notes[part] = write_jsonl(path, rows)
        ledger.leave_out("over the limit", len(spool) - ledger.out)
    ledger.write(outputs["train"])
    return ledger


def _prompts(
    source: Source,
    ledger: Ledger,
    splitter: Splitter,
    length: LengthLimit,
    templates: Sequence[Template],
) -> Iterator[tuple[Part, RedTeamPrompt]]:
    seen: set[str] = set()
    label = source.label
    for where, row in read_source(source, ledger):
        try:
            prompt = first_prompt(row)
            refuse_marks(single_turn(prompt), templates)
            name = record_id(prompt)
            part = splitter.part(name, row, source, where)
        except Malformed as error:
            ledger.drop(str(error), where=where, record=row)
            continue
        if name in seen:
            ledger.leave_out("duplicate prompt")
        elif not length.fits(prompt):
            ledger.drop("prompt too long", where=where, record=name, bad=False)
        else:
            seen.add(name)
            yield part, {"id": name, "prompt": prompt, "source": label}
