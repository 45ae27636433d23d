"""The held-out prompts that every model answers in the evaluation: harmful and helpful ones."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cai.core.errors import fail_if
from cai.data.dialogues import Malformed, first_prompt
from cai.files.records import Ledger, Record, Row, read_jsonl, record_id, uniform, write_jsonl
from cai.models.templates import Template, single_turn
from cai.settings.sources import Source, read_source

HARMFUL, HELPFUL = "harmful", "helpful"
Located = tuple[str, Record]


def prepare_evaluation_prompts(
    red_team: Path,
    helpful: Source | tuple[Path, Template],
    output: Path,
    *,
    seed: int,
    limit: int | None = None,
    max_bad_share: float = 0.05,
) -> Ledger:
    """Write ``{"id", "prompt", "set"}``: harmful prompts first, each set in the order of a hash.

    Args:
        red_team: held-out red-team prompts, ``{"id", "prompt"}``.
        helpful: a source of helpful prompts, or the held-out prompts of the helpful preferences
            with the template that they are written in.
        limit: most prompts of each set; a smaller limit gives a subset of a larger one's.

    Raises:
        UserError: if a set stays empty or too many records are bad.
    """
    ledger = Ledger("evaluation_prompts")
    harmful = _distinct(_red_team_prompts(red_team, ledger), HARMFUL, set(), ledger)
    if isinstance(helpful, Source):
        found = _from_source(helpful, ledger)
    else:
        found = _from_preferences(helpful, ledger)
    wanted = _distinct(found, HELPFUL, {row["id"] for row in harmful}, ledger)
    ledger.check(max_bad_share, "evaluation prompts")
    rows = [row for rows in (harmful, wanted) for row in first_of(rows, seed, limit, ledger)]
    counts = Counter(row["set"] for row in rows)
    for name in (HARMFUL, HELPFUL):
        fail_if(
            not counts[name], f"evaluation prompts: no {name} prompt is left; at least 1 is needed"
        )
    write_jsonl(output, ledger.kept(rows))
    ledger.notes = dict(counts)
    ledger.write(output)
    return ledger


def _red_team_prompts(path: Path, ledger: Ledger) -> Iterator[Located]:
    for row in read_jsonl(path):
        ledger.count_in()
        yield str(path), row


def _from_source(source: Source, ledger: Ledger) -> Iterator[Located]:
    """The prompt of each record, or the first human turn of its dialogue."""
    for where, row in read_source(source, ledger):
        try:
            yield where, {"prompt": first_prompt(row)}
        except Malformed as error:
            ledger.drop(str(error), where=where, record=row)


def _from_preferences(prompts: tuple[Path, Template], ledger: Ledger) -> Iterator[Located]:
    """The user's turn of each prompt that is a single turn; longer dialogues are left out."""
    path, template = prompts
    for row in read_jsonl(path):
        ledger.count_in()
        question = unwrapped(row["text"], template)
        if template.prompt(single_turn(question)) != row["text"] or _has_turns(question, template):
            ledger.leave_out("more than one turn")
        else:
            yield str(path), {"prompt": question}


def unwrapped(text: str, template: Template) -> str:
    """The user's words of a prompt of one turn, without what the template sets around them."""
    before, after = template.prompt(single_turn("\x00")).split("\x00")
    return text.removeprefix(before).removesuffix(after)


def _has_turns(question: str, template: Template) -> bool:
    return any(stop in question for stop in template.stop)


def _distinct(rows: Iterator[Located], name: str, taken: set[str], ledger: Ledger) -> list[Record]:
    """The first record of each prompt that is not taken yet."""
    kept: dict[str, Record] = {}
    for where, row in rows:
        prompt = row["prompt"]
        key = record_id(prompt)
        if key in taken:
            ledger.drop("in the harmful set too", where=where, record=row)
        elif key in kept:
            ledger.leave_out("duplicate prompt")
        else:
            kept[key] = {"id": key, "prompt": prompt, "set": name}
    return list(kept.values())


def first_of(rows: list[Row], seed: int, limit: int | None, ledger: Ledger) -> list[Row]:
    """The records in the order of a hash, the first ``limit`` of them, the rest left out."""
    ordered = sorted(rows, key=lambda row: uniform("evaluation", seed, row["id"]))
    ledger.leave_out("over the limit", len(rows) - len(ordered[:limit]))
    return ordered[:limit]
