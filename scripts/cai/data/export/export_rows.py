"""The rows of the exported datasets, read from the files that the run trains on."""

from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypedDict

from cai.data.comparisons import Line, TextPair, read_comparisons
from cai.data.dialogues import Malformed, parse_dialogue
from cai.data.rl_dataset import Verdict, pair_key
from cai.files.records import Ledger, read_jsonl_tolerant, read_records
from cai.models.rendered import read_back
from cai.models.templates import Message, Template

UNREAD = "text is no conversation of the chat template"
TIE = 0.5


class SftRow(TypedDict):
    """A dialogue to train on: a revision of a harmful answer, or a helpful dialogue."""

    id: str
    dataset: str
    messages: list[Message]


class PreferenceRow(TypedDict):
    """Two answers to a conversation, the better one first.

    The last turns stand there twice, as messages and as texts. ``probability`` is the judge's that
    the chosen one is better; it and the principle are null where people have chosen.
    """

    id: str
    dataset: Literal["ai", "helpful"]
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    chosen_response: str
    rejected_response: str
    probability: float | None
    principle: str | None


class PromptRow(TypedDict):
    """A conversation that ends with the user's turn, for a policy to answer."""

    id: str
    dataset: Literal["red_team", "helpful"]
    prompt: list[Message]


def sft_rows(path: Path, ledger: Ledger) -> Iterator[SftRow]:
    """Yield the dialogues of a file in NeMo's chat format."""
    for where, row in read_jsonl_tolerant(path, ledger):
        try:
            messages = parse_dialogue(row)
        except Malformed as error:
            ledger.drop(str(error), where=where, record=row)
            continue
        yield {"id": row["id"], "dataset": row["dataset"], "messages": messages}


def preference_rows(
    path: Path, judged: Mapping[str, Verdict], template: Template, ledger: Ledger
) -> Iterator[PreferenceRow]:
    """Yield the reward model's comparisons of a file, each pair once.

    The reward model sees a pair several times, in orders drawn with the judge's probability; here
    the likelier answer is the chosen one. A tie has none and is left out.
    """
    seen: set[str] = set()
    for number, pair in enumerate(read_comparisons(path)):
        ledger.count_in()
        key = pair_key(pair["id"], pair["chosen"], pair["rejected"])
        verdict = judged.get(key)
        if key in seen:
            ledger.leave_out("another draw of a pair")
        elif verdict is not None and verdict.p_first == TIE:
            ledger.leave_out("tie")
        elif row := _preference(pair, verdict, template):
            yield row
        else:
            ledger.drop(UNREAD, where=f"{path}:{2 * number + 1}", record=pair)
        seen.add(key)


def _preference(
    pair: TextPair, verdict: Verdict | None, template: Template
) -> PreferenceRow | None:
    """The row of a pair; None if the two texts are no answers to one conversation."""
    better, worse = pair["chosen"], pair["rejected"]
    if verdict is not None and verdict.of(better, worse) < TIE:
        better, worse = worse, better
    chosen, rejected = (read_back(text, template) for text in (better, worse))
    if not chosen or not rejected or chosen[:-1] != rejected[:-1]:
        return None
    return {
        "id": pair["id"],
        "dataset": "ai" if verdict else "helpful",
        "prompt": chosen[:-1],
        "chosen": chosen[-1:],
        "rejected": rejected[-1:],
        "chosen_response": chosen[-1]["content"],
        "rejected_response": rejected[-1]["content"],
        "probability": verdict.of(better, worse) if verdict else None,
        "principle": "+".join(verdict.principles) or None if verdict else None,
    }


def prompt_rows(
    path: Path, red_team: Container[str], template: Template, ledger: Ledger
) -> Iterator[PromptRow]:
    """Yield PPO's prompts of a file; ``red_team`` has the ids of those that the judge saw."""
    for number, line in enumerate(read_records(path, Line), 1):
        ledger.count_in()
        if messages := read_back(line["text"], template):
            origin: Literal["red_team", "helpful"]
            origin = "red_team" if line["id"] in red_team else "helpful"
            yield {"id": line["id"], "dataset": origin, "prompt": messages}
        else:
            ledger.drop(UNREAD, where=f"{path}:{number}", record=line)
