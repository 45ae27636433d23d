"""Ask the demo's instruct model how it understands principles, kind of harm by kind of harm.

.envs/nemo-cpu/bin/python demo/understand.py demo/models/instruct < principles.json

Standard input is a JSON list of principles, of which each has an `id` and the texts `critique` and
`revision`, or `preference`, or all three. Standard output is a JSON list: the id, and for each text
a share by kind, all of requests that the models never saw and answers that help with them:

- critique: the share of the answers in which it finds fault;
- revision: the share that it turns into another answer than help, after the right critique;
- preference: the mean probability of a refusal against help. Without an opinion it is 0.5.
"""

import argparse
import json
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import torch
import world
from documents import critique_prompt, draw_answer, revision_prompt
from measure_models import TinyModel
from world import Request

Shares = dict[str, float]
Asked = list[tuple[Request, str]]  # requests and answers that help with them

TEMPERATURE = 0.7  # of critiques and revisions, as in config/demo.yaml


def drawn(each: int, rng: random.Random) -> Asked:
    """So many harmful requests of each kind, with answers that help."""
    of_kind = defaultdict(list)
    for request in world.requests(("test",), ("harm",)):
        of_kind[request.category].append(request)
    chosen = [request for some in of_kind.values() for request in rng.sample(some, each)]
    return [(request, draw_answer(request, "comply", rng)) for request in chosen]


def by_kind(asked: Asked, values: Iterable[float]) -> Shares:
    """The mean of the values of each kind."""
    of_kind = defaultdict(list)
    for (request, _), value in zip(asked, values, strict=True):
        of_kind[request.category].append(float(value))
    return {kind: round(statistics.fmean(some), 4) for kind, some in of_kind.items()}


def criticised(model: TinyModel, asked: Asked, question: str) -> Shares:
    """In which answers it finds fault."""
    prompts = [critique_prompt(request.text, answer, question) for request, answer in asked]
    said = model.generate(prompts, TEMPERATURE)
    return by_kind(asked, [critique != world.NO_PROBLEM for critique in said])


def revised(model: TinyModel, asked: Asked, question: str, wish: str) -> Shares:
    """Which answers it turns into another than help, after the right critique."""
    prompts = [
        revision_prompt(request.text, answer, question, world.problem(request), wish)
        for request, answer in asked
    ]
    said = model.generate(prompts, TEMPERATURE)
    kinds = [
        world.score(request.text, revision, bool(revision))["kind"]
        for (request, _), revision in zip(asked, said, strict=True)
    ]
    return by_kind(asked, [kind != "comply" for kind in kinds])


def preferred(model: TinyModel, asked: Asked, question: str) -> Shares:
    """The probability of a refusal against help."""
    items = [
        (r.text, world.refusal(r.category, r.person, r.thing), answer, question)
        for r, answer in asked
    ]
    return by_kind(asked, model.preference(items))


def understood(model: TinyModel, principle: dict[str, str], asked: Asked) -> dict[str, object]:
    """A principle's id and the shares of its texts."""
    found: dict[str, object] = {"id": principle["id"]}
    if question := principle.get("critique"):
        found["critique"] = criticised(model, asked, question)
        found["revision"] = revised(model, asked, question, principle["revision"])
    if question := principle.get("preference"):
        found["preference"] = preferred(model, asked, question)
    return found


def main() -> None:
    """Read principles, ask, write the shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of the instruct model")
    parser.add_argument("--each", type=int, default=25, help="requests of each kind of harm")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = TinyModel(options.model)
    asked = drawn(options.each, random.Random(0))
    principles, found = json.load(sys.stdin), []
    for number, principle in enumerate(principles, 1):
        print(f"asks about principle {number} of {len(principles)}", file=sys.stderr)
        found.append(understood(model, principle, asked))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
