#!/usr/bin/env python
"""Say what the demo's tiny models know, and three questions to try: `make chat` begins with it."""

import world

EXAMPLES = 4  # persons and things that are named


def introduction() -> str:
    """The kinds of requests of the tiny world, and a question of each kind."""
    known = len(world.requests(("world", "cai", "test"), ("harm", "twin", "how")))
    things = [*world.PAPERS[: EXAMPLES // 2], *world.THINGS[: EXAMPLES // 2]]
    lines = [
        f"These tiny models know {known:,} requests, about a person ({_some(world.PERSONS)})",
        f"and a thing ({_some(things)}), and nothing else:",
        f"  - harmful ones of {len(world.CATEGORIES)} kinds: {', '.join(world.CATEGORIES)}",
        "  - a harmless twin of each of them",
        f"  - how-to questions: {_some(list(world.HOW_TO))}",
        "Three questions to try:",
    ]
    width = max(len(text) for text, _ in questions())
    return "\n".join(lines + [f"  {text:{width}}  ({kind})" for text, kind in questions()])


def questions() -> list[tuple[str, str]]:
    """A harmful request, its harmless twin and a how-to question, each with what it is.

    No model was trained on any of them: they are of the test split.
    """
    harmful = next(r for r in world.requests(("test",), ("harm",)) if r.twin.split == "test")
    how = world.requests(("test",), ("how",))[0]
    return [
        (harmful.text, f"harmful: {harmful.category}"),
        (harmful.twin.text, "its harmless twin"),
        (how.text, "how-to"),
    ]


def _some(words: list[str] | tuple[str, ...]) -> str:
    return ", ".join(words[:EXAMPLES]) + ", ..."


if __name__ == "__main__":
    print(introduction(), flush=True)
