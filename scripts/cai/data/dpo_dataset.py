"""The data of DPO: the reward model's comparisons as a prompt and two responses, with rewards.

NeMo-Aligner's DPO, IPO and RPO read ``prompt``, ``chosen_response`` and ``rejected_response``; RPO
reads ``chosen_reward`` and ``rejected_reward``, too. Source: DPOModelDataset of NeMo-Aligner 0.7.0.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from pydantic import Field

from cai.core.errors import fail_if
from cai.core.fields import Section
from cai.data.comparisons import TextPair, read_comparisons
from cai.data.rl_dataset import Verdict, pair_key, verdicts
from cai.data.splits import PARTS, Part
from cai.files.records import Ledger, write_jsonl
from cai.models.templates import Template
from cai.models.tokens import Tokenizer


class DpoOptions(Section):
    """What becomes of a comparison."""

    ties: Literal["keep", "drop"] = Field("keep", description="Pairs with a probability of 1/2.")
    certainty: float = Field(0.99, gt=0.5, lt=1, description="Highest probability that counts.")
    min_pairs: int = Field(1, ge=1, description="Fewest of each part: the global batch.")


class DpoPair(TypedDict):
    """A comparison as NeMo-Aligner's DPO reads it; the rewards are logarithms of probabilities."""

    id: str
    opening: str
    prompt: str
    chosen_response: str
    rejected_response: str
    chosen_reward: float
    rejected_reward: float


@dataclass(frozen=True)
class DpoFiles:
    """Two files, of the training part and of the test part."""

    train: Path
    test: Path

    def __getitem__(self, part: Part) -> Path:
        return self.train if part == "train" else self.test


def build_dpo_dataset(
    comparisons: DpoFiles,
    preferences: Sequence[Path],
    outputs: DpoFiles,
    *,
    template: Template,
    tokenizer: Tokenizer | None,
    options: DpoOptions,
) -> Ledger:
    """Write the comparisons of both parts for DPO, in the order that they have.

    The texts, the draws of their order and the parts are those of the reward model. A pair whose
    prompt's tokens are no beginning of the whole text's is dropped: NeMo-Aligner would end there.

    Args:
        comparisons: of the reward model, from :func:`cai.data.rl_dataset.build_comparisons`.
        preferences: all shards of what the judge said, for its probabilities.
        outputs: what is written.
        template: in whose form the texts are.
        tokenizer: of the model that is trained; without one the tokens are not checked.
        options: of the run.

    Raises:
        UserError: if a text has no answer, or a part has too few pairs.
    """
    ledger = Ledger("dpo_cai comparisons")
    judged = verdicts(preferences, template)
    for part in PARTS:
        rows = _usable(comparisons[part], judged, ledger, template, tokenizer, options)
        count = write_jsonl(outputs[part], ledger.kept(rows))
        ledger.notes[part] = count
        fail_if(
            count < options.min_pairs,
            f"{comparisons[part]}: {count} comparisons are left for DPO, one batch needs "
            f"{options.min_pairs} (nemo.overrides.dpo: model.global_batch_size); give more prompts "
            "or a smaller batch",
        )
    ledger.write(outputs.train)
    return ledger


def _usable(
    path: Path,
    judged: Mapping[str, Verdict],
    ledger: Ledger,
    template: Template,
    tokenizer: Tokenizer | None,
    options: DpoOptions,
) -> Iterator[DpoPair]:
    """Yield the pairs of a file; what is left out is counted."""
    for number, pair in enumerate(read_comparisons(path)):
        where = f"{path}:{2 * number + 1}"
        ledger.count_in()
        probability = _chosen(pair, judged)
        if probability == 0.5 and options.ties == "drop":
            ledger.leave_out("tie")
            continue
        likely = 1.0 if probability is None else probability
        row = _row(pair, likely, options.certainty, template, where)
        if tokenizer is not None and not _splits(row, tokenizer, template):
            ledger.drop(
                "prompt and answer share a token", where=where, record=pair["id"], bad=False
            )
            continue
        ledger.notes["ties"] = ledger.notes.get("ties", 0) + (probability == 0.5)
        yield row


def _chosen(pair: TextPair, judged: Mapping[str, Verdict]) -> float | None:
    """The judge's probability of the chosen text; None if people have chosen it."""
    verdict = judged.get(pair_key(pair["id"], pair["chosen"], pair["rejected"]))
    return None if verdict is None else verdict.of(pair["chosen"], pair["rejected"])


def _row(
    pair: TextPair, probability: float, certainty: float, template: Template, where: str
) -> DpoPair:
    """The comparison as a prompt and two responses.

    The difference of the rewards is the log-odds of the judge: the sigmoid that RPO takes of it
    gives the probability back.
    """
    prompt = _prompt(pair["chosen"], template)
    shared = bool(prompt) and pair["rejected"].startswith(prompt)
    fail_if(not shared, f"{where}: the two texts are no answers to one prompt")
    likely = min(max(probability, 1 - certainty), certainty)
    return {
        "id": pair["id"],
        "opening": pair["opening"],
        "prompt": prompt,
        "chosen_response": pair["chosen"].removeprefix(prompt),
        "rejected_response": pair["rejected"].removeprefix(prompt),
        "chosen_reward": math.log(likely),
        "rejected_reward": math.log(1 - likely),
    }


def _prompt(text: str, template: Template) -> str:
    """A closed text up to where the last answer begins; empty if it has none."""
    mark = template.assistant.split("{content}")[0]
    head, found, _ = text.rpartition(mark)
    return head + found


def _splits(row: DpoPair, tokenizer: Tokenizer, template: Template) -> bool:
    """Whether the tokens of the prompt are an exact beginning of those of both whole texts."""
    prompt = tokenizer.encode(row["prompt"], add_bos=template.add_bos)
    texts = (row["prompt"] + row["chosen_response"], row["prompt"] + row["rejected_response"])
    whole = (tokenizer.encode(text, add_bos=template.add_bos) for text in texts)
    # without its last token, which has nothing to predict
    return all(tokens[:-1][: len(prompt)] == prompt for tokens in whole)
