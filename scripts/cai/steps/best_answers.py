"""Best of n: of several answers to a prompt, the one that the reward model scores highest."""

from collections import Counter
from collections.abc import Iterator, Sequence

from cai.asking.rewards import RewardModel
from cai.files.records import Ledger, Prompt
from cai.models.templates import Template, single_turn
from cai.models.tokens import LengthLimit
from cai.steps.candidates import Candidates

TOO_LONG = "too long for the reward model"


class BestAnswer(Prompt):
    """A prompt with the answer to train on.

    Attributes:
        revision: the answer, under the name that the SFT set is made from.
        reward: its reward.
        rewards: of all candidates in their order; None for one that is too long.
    """

    revision: str
    reward: float
    rewards: list[float | None]


def choose_best(
    records: Sequence[Candidates],
    reward_model: RewardModel,
    template: Template,
    length: LengthLimit,
    ledger: Ledger,
    what: str | None,
) -> Iterator[BestAnswer]:
    """Yield the best answer to each prompt; of equal rewards the first candidate's.

    A candidate that is longer than the reward model's sequences is left out and counted: the server
    would cut it. ``what`` names the texts in messages.
    """
    ledger.count_in(len(records))
    texts = [_texts(record, template, length) for record in records]
    asked = [text for row in texts for text in row if text is not None]
    scores = iter(reward_model.rewards(asked, what))
    chosen: Counter[str] = Counter()
    ledger.notes["left_out"] = sum(text is None for row in texts for text in row)
    for record, row in zip(records, texts, strict=True):
        rewards = [None if text is None else next(scores) for text in row]
        known = {place: reward for place, reward in enumerate(rewards) if reward is not None}
        if not known:
            ledger.drop(TOO_LONG, record=record["id"])
            continue
        best = max(known, key=known.__getitem__)
        chosen[str(best + 1)] += 1
        yield {
            "id": record["id"],
            "prompt": record["prompt"],
            "revision": record["candidates"][best]["text"],
            "reward": known[best],
            "rewards": rewards,
        }
    ledger.notes["chosen"] = dict(sorted(chosen.items()))


def _texts(record: Candidates, template: Template, length: LengthLimit) -> list[str | None]:
    """The candidates as the reward model reads them; None in place of one that is too long."""
    found = [
        template.closed(
            [*single_turn(record["prompt"]), {"role": "assistant", "content": candidate["text"]}]
        )
        for candidate in record["candidates"]
    ]
    return [text if length.fits(text) else None for text in found]
