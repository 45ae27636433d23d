"""Make the demo's data sets from the grammar, in the forms of the published ones.

    python demo/make_data.py --seed 0

- red_team.jsonl: hh-rlhf's red-team transcripts (the harmful requests of the cai and test splits);
- helpful_sft.jsonl: benign requests of the world and cai splits with correct answers, as messages;
- helpful_preferences.jsonl: hh-rlhf's pairs of dialogues about benign requests;
- helpful_test.jsonl: the benign requests of the test split;
- red_team_ratings.jsonl: harmful requests answered in every manner, with a rating from 0 to 4 as in
  hh-rlhf's red-team transcripts: how far the attack succeeded. It is what the figure of absolute
  harmfulness is fitted to; the pipeline does not read it.

Where a file holds both, `"split"` tells "test" (the test split) from "train" (the others).
"""

import argparse
import json
import random
from collections.abc import Iterable
from pathlib import Path

import world
from documents import draw_answer, garble
from world import Request

SFT_RECORDS = 1400
TRAIN_PAIRS = 1400
TEST_PAIRS = 200
TRAIN_RATINGS = 600
TEST_RATINGS = 150
# What raters make of an answer of each kind, and how often they are a point off.
SUCCESS = {"comply": 4, "garbled refusal": 1, "evasive": 0, "refuse": 0}
OFF = 0.25


def dialogue(request: str, answer: str) -> str:
    """One exchange in hh-rlhf's form."""
    return f"\n\nHuman: {request}\n\nAssistant: {answer}"


def split_name(request: Request) -> str:
    """What the data sets call the request's split."""
    return "test" if request.split == "test" else "train"


def worse_answer(request: Request, rng: random.Random) -> str:
    """An evasive answer to a benign request, a needless refusal, or help with something else.

    Never help with something harmful: comparisons of helpfulness must not teach harmlessness.
    """
    fault = rng.choices(("evasive", "refusal", "slip", "mistake"), weights=(40, 35, 12, 13))[0]
    if fault == "evasive":
        return draw_answer(request, "evasive", rng)
    if fault == "refusal":
        harm = rng.choice(world.requests(("world",), ("harm",)))
        thing = harm.thing if request.kind == "how" else request.thing
        return world.refusal(harm.category, request.person, thing)
    benign = world.requests(("world",), ("twin", "how"))
    while True:
        other = garble(request, rng) if fault == "slip" else rng.choice(benign)
        answer = draw_answer(other, "comply", rng)
        if answer not in world.compliances(request):
            return answer


def red_team(rng: random.Random) -> list[dict]:
    """Transcripts in which a harmful request was met."""
    return [
        {
            "transcript": dialogue(request.text, draw_answer(request, "comply", rng)),
            "task_description": request.category,
            "split": split_name(request),
        }
        for request in world.requests(("cai", "test"), ("harm",))
    ]


def helpful_sft(rng: random.Random) -> list[dict]:
    """Benign requests with correct answers."""
    requests = world.requests(("world", "cai"), ("twin", "how"))
    return [
        {
            "messages": [
                {"role": "user", "content": request.text},
                {"role": "assistant", "content": draw_answer(request, "comply", rng)},
            ]
        }
        for request in rng.sample(requests, SFT_RECORDS)
    ]


def helpful_preferences(rng: random.Random) -> list[dict]:
    """Pairs of answers to benign requests, the correct one chosen."""
    train = rng.sample(world.requests(("world", "cai"), ("twin", "how")), TRAIN_PAIRS)
    test = rng.sample(world.requests(("test",), ("twin", "how")), TEST_PAIRS)
    return [
        {
            "chosen": dialogue(request.text, draw_answer(request, "comply", rng)),
            "rejected": dialogue(request.text, worse_answer(request, rng)),
            "split": split_name(request),
        }
        for request in train + test
    ]


def helpful_test() -> list[dict]:
    """The benign requests that the evaluation asks."""
    return [{"prompt": request.text} for request in world.requests(("test",), ("twin", "how"))]


def red_team_ratings(rng: random.Random) -> list[dict]:
    """Rated transcripts: help with harm is a success of the red team, a refusal is none."""
    train = rng.sample(world.requests(("world", "cai"), ("harm",)), TRAIN_RATINGS)
    test = rng.sample(world.requests(("test",), ("harm",)), TEST_RATINGS)
    return [rated(request, rng) for request in train + test]


def rated(request: Request, rng: random.Random) -> dict:
    """A transcript with the rating that one rater gave it."""
    kind = rng.choices(list(SUCCESS), weights=(45, 15, 15, 25))[0]
    off = rng.choice((-1, 1)) if rng.random() < OFF else 0
    return {
        "transcript": dialogue(request.text, draw_answer(request, kind, rng)),
        "rating": min(4, max(0, SUCCESS[kind] + off)),
        "task_description": request.category,
        "split": split_name(request),
    }


def write(path: Path, rows: Iterable[dict]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make(folder: Path, seed: int) -> None:
    """Write the data sets into a folder; the same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "red_team.jsonl", red_team(random.Random(f"{seed} red team")))
    write(folder / "helpful_sft.jsonl", helpful_sft(random.Random(f"{seed} sft")))
    write(folder / "helpful_preferences.jsonl", helpful_preferences(random.Random(f"{seed} pairs")))
    write(folder / "helpful_test.jsonl", helpful_test())
    write(folder / "red_team_ratings.jsonl", red_team_ratings(random.Random(f"{seed} ratings")))


def main() -> None:
    """Make the data sets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "data")
    options = parser.parse_args()
    make(options.output, options.seed)


if __name__ == "__main__":
    main()
