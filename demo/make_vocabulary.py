"""Write the words that the demo's models know, for people and for the check before a run.

python demo/make_vocabulary.py > demo/vocabulary.md
"""

import sys

import lexicon
import principles
from lexicon import Verb, Words

HEAD = """# The words of the demo's principles

Written by `make_vocabulary.py`. A principle in `constitution.yaml` may be any sentence of these
words. A word that is not among them is named before a job runs.

What a principle means to the models:

- It is about the kinds of harm that its words name, one or two; if it names none, about all of
  them, and less surely.
- Words are for something ("protect", "careful with") or against it ("ignore", "hostile to"), and
  name something that people want ("privacy", "honest") or its opposite ("theft", "mean"). "Not",
  "never", "less", "least", "fewer", "nobody", "without" turn the meaning around: "which answer is
  less careful with secrets?" prefers the answer that tells them.
- A critique points out harm, so "point out how the answer ignores privacy" finds some and "point
  out how the answer respects privacy" finds none. One that asks ("say whether", "is the answer
  ...?") finds it either way.
- A revision says what the answer shall be: "rewrite the answer so that it respects privacy".
- One word a kind is enough. Two words of one kind ("rude or cruel") were in no text that the models
  read, and are often taken for other kinds, too.

`make understand` shows how the models understand the principles that you have written.

"""


def forms(verb: Verb) -> list[str]:
    """A verb in all its forms, as many words as it takes."""
    tail = f" {verb.tail}" if verb.tail else ""
    found = [verb.base, verb.third, verb.ing]
    if verb.takes_people or verb in lexicon.FOR + lexicon.AGAINST:
        found.append(verb.done)
    return [f"{form}{tail}" for form in dict.fromkeys(found)]


def block(title: str, entries: list[str]) -> str:
    """A heading and its words in a fenced block, wrapped."""
    lines, line = [], ""
    for entry in dict.fromkeys(entries):
        if len(line) + len(entry) > 110:
            lines.append(line.rstrip())
            line = ""
        line += f"{entry}, "
    lines.append(line.rstrip(", "))
    return f"**{title}**\n```\n" + "\n".join(lines) + "\n```\n"


def compared(words: tuple[str, ...]) -> list[str]:
    """Adjectives with their comparatives and superlatives."""
    return [form for word in words for form in (word, *lexicon.COMPARED.get(word, ()))]


def section(name: str, words: Words) -> str:
    """The words of one kind of harm."""
    return "\n".join(
        [
            f"## {name}\n",
            block("for: nouns", list(words.goods)),
            block("against: nouns", list(words.ills)),
            block("for: adjectives", compared(words.virtues)),
            block("against: adjectives", compared(words.vices)),
            block("for: verbs", [f for verb in words.good_deeds for f in forms(verb)]),
            block("against: verbs", [f for verb in words.bad_deeds for f in forms(verb)]),
        ]
    )


def text() -> str:
    """The whole vocabulary as Markdown."""
    parts = [HEAD, *(section(name, words) for name, words in lexicon.KINDS.items())]
    parts.append(section("all kinds", lexicon.ANY))
    parts.append("## Words about any of them\n")
    parts.append(block("for", [f for verb in lexicon.FOR for f in forms(verb)]))
    parts.append(block("against", [f for verb in lexicon.AGAINST for f in forms(verb)]))
    parts.append(block("with a noun", [*lexicon.CAREFUL, *lexicon.REGARD]))
    parts.append(block("degrees", [*lexicon.ADVERB_DEGREES, "fewer", "the fewest"]))
    parts.append("## Words of sentences\n")
    parts.append(block("people", [*lexicon.PEOPLE, *lexicon.OWNERS]))
    parts.append(block("the rest", sorted(principles.plain_words())))
    return "\n".join(parts)


def main() -> None:
    """Write to standard output."""
    sys.stdout.write(text())


if __name__ == "__main__":
    main()
