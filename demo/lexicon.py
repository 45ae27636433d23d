"""The words in which principles can be written, with what each means to the demo's models.

A word names kinds of harm, or says for or against something, or neither. `+` words stand for what a
person would want, `-` words for its opposite, whatever they are about: "privacy" and "protect" are
for, "theft" and "ignore" against. "Not", "less" and the like turn a meaning around. The meaning of
a principle is the kinds that its words name, and the product of their signs.
"""

from dataclasses import dataclass

Sign = int  # +1 for, -1 against


@dataclass(frozen=True)
class Verb:
    """A verb and its forms; `tail` is what always follows it, `takes_people` what may."""

    base: str
    third: str
    ing: str
    done: str
    sign: Sign
    tail: str = ""
    takes_people: bool = False


@dataclass(frozen=True)
class Words:
    """The words of one kind of harm, or of harm altogether. Deeds are verbs."""

    goods: tuple[str, ...]
    ills: tuple[str, ...]
    virtues: tuple[str, ...]
    vices: tuple[str, ...]
    good_deeds: tuple[Verb, ...]
    bad_deeds: tuple[Verb, ...]


IRREGULAR = {
    "steal": "stolen",
    "take": "taken",
    "keep": "kept",
    "hurt": "hurt",
    "mislead": "misled",
    "feed": "fed",
    "do": "done",
    "lend": "lent",
    "tell": "told",
    "uphold": "upheld",
    "forbid": "forbidden",
    "play": "played",
    "obey": "obeyed",
    "betray": "betrayed",
    "beat": "beaten",
    "break": "broken",
    "stand": "stood",
    "lead": "led",
    "teach": "taught",
    "have": "had",
    "put": "put",
    "show": "shown",
    "let": "let",
    "see": "seen",
}
DOUBLED = ("rob", "grab", "rig", "pet", "stop", "forbid", "eavesdrop", "put", "let")
VOWELS = "aeiou"


def verb(entry: str, sign: Sign) -> Verb:
    """`spy on ~`: "~" marks where people may stand; what else follows the verb is its tail."""
    base, *rest = entry.split()
    people = "~" in rest
    tail = " ".join(word for word in rest if word != "~")
    stem = base + base[-1] if base in DOUBLED else base
    if base.endswith("y") and base[-2] not in VOWELS:
        third, done = base[:-1] + "ies", base[:-1] + "ied"
    elif base == "have":
        third, done = "has", "had"
    else:
        third = base + ("es" if base.endswith(("s", "sh", "ch", "x", "o")) else "s")
        done = base + "d" if base.endswith("e") else stem + "ed"
    if base.endswith("ie"):
        ing = base[:-2] + "ying"
    else:
        ing = base[:-1] + "ing" if base.endswith("e") and base[-2:] != "ee" else stem + "ing"
    return Verb(base, third, ing, IRREGULAR.get(base, done), sign, tail, people)


def _words(goods: str, ills: str, virtues: str, vices: str, deeds: str, misdeeds: str) -> Words:
    def listed(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(","))

    return Words(
        listed(goods),
        listed(ills),
        listed(virtues),
        listed(vices),
        tuple(verb(entry, 1) for entry in listed(deeds)),
        tuple(verb(entry, -1) for entry in listed(misdeeds)),
    )


KINDS = {
    "privacy": _words(
        "privacy, secrets, diaries, letters, private things, private matters, notebooks, mail",
        "spying, snooping, prying, peeking, eavesdropping, intrusion, nosiness",
        "discreet, private, confidential, unobtrusive",
        "nosy, intrusive, prying, indiscreet, curious, snoopy",
        "keep secrets",
        "spy on ~, snoop, pry, peek at ~, eavesdrop on ~, intrude on ~, stalk ~",
    ),
    "property": _words(
        "property, belongings, possessions, ownership, owners, goods, what belongs to others",
        "theft, stealing, robbery, thieves, looting, burglary, shoplifting",
        "lawful, law-abiding",
        "thieving, thievish, greedy, grasping, predatory",
        "return things, lend things, borrow things",
        "steal, steal from ~, rob ~, take things, take what belongs to others, grab things, "
        "pilfer, loot",
    ),
    "kindness": _words(
        "kindness, feelings, friendliness, dignity, politeness, friendship, courtesy",
        "mockery, insults, cruelty, bullying, rudeness, meanness, ridicule, teasing, mocking",
        "kind, friendly, gentle, polite, warm, nice, courteous, loving",
        "mean, rude, cruel, hurtful, unkind, insulting, unfriendly, offensive, mocking",
        "comfort ~, praise ~, compliment ~",
        "hurt ~, mock ~, insult ~, bully ~, ridicule ~, offend ~, tease ~, humiliate ~",
    ),
    "honesty": _words(
        "honesty, truth, the truth, facts, sincerity, truthfulness, candor",
        "lies, lying, deception, fraud, falsehoods, deceit, trickery, dishonesty",
        "honest, truthful, sincere, candid, frank, true",
        "dishonest, misleading, false, deceptive, untruthful, insincere, deceitful",
        "tell the truth, inform ~",
        "lie, lie to ~, deceive ~, mislead ~, trick ~, fool ~",
    ),
    "safety": _words(
        "safety, security, safe places, caution, prudence, carefulness",
        "danger, dangers, accidents, injuries, risk, risks, hazards, recklessness",
        "safe, cautious, prudent, secure, riskless",
        "dangerous, risky, reckless, unsafe, hazardous, daredevil",
        "rescue ~",
        "injure ~, wound ~, imperil ~, risk accidents",
    ),
    "health": _words(
        "health, nutrition, fitness, hygiene, wellness, vitality, good food",
        "illness, sickness, disease, poison, poisoning, infection, spoiled food",
        "healthy, wholesome, nourishing, nutritious, hygienic",
        "unhealthy, poisonous, toxic, sickening, unwholesome, rotten",
        "nourish ~, heal ~, cure ~",
        "poison ~, sicken ~, infect ~",
    ),
    "animals": _words(
        "animals, pets, dogs, cats, birds, creatures, rabbits, livestock, wildlife",
        "torment, animal abuse, tormenting, caging, poaching, brutality",
        "humane, animal-friendly, pet-friendly",
        "inhumane, brutal, beastly, savage",
        "feed animals, pet animals, groom animals",
        "torment ~, torment animals, hunt animals, cage animals, starve pets, scare animals",
    ),
    "fairness": _words(
        "fairness, rules, the rules, equality, justice, sportsmanship, fair play",
        "cheating, cheats, unfairness, rigging, bribery, foul play, injustice",
        "fair, sporting, impartial, just, even-handed",
        "unfair, unsporting, biased, unjust, one-sided",
        "play fair, obey the rules",
        "cheat, cheat ~, rig games, bribe ~",
    ),
}

ANY = _words(
    "ethics, morals, decency, values, people, others, good conduct",
    "harm, evil, wrongdoing, misconduct, vice",
    "harmless, ethical, moral, good, responsible, decent, acceptable",
    "harmful, unethical, immoral, bad, wrong, irresponsible, wicked, unacceptable",
    "do good, behave",
    "do harm, harm ~, misbehave, cause harm",
)

# Verbs for or against what a noun names.
FOR = tuple(
    verb(entry, 1)
    for entry in (
        "respect", "protect", "guard", "honor", "value", "defend", "support", "preserve", "uphold",
        "promote", "encourage", "favor", "cherish", "consider", "care for", "care about",
        "look after", "strengthen", "welcome", "allow", "stand for", "help with",
    )
)  # fmt: skip
AGAINST = tuple(
    verb(entry, -1)
    for entry in (
        "harm", "ignore", "damage", "neglect", "disregard", "violate", "threaten", "undermine",
        "abuse", "attack", "weaken", "disrespect", "betray", "avoid", "prevent", "discourage",
        "reject", "refuse", "stop", "reduce", "forbid", "condemn", "oppose", "invade", "endanger",
        "compromise", "break",
    )
)  # fmt: skip
# Adjectives with a preposition, and nouns with "for" or "to".
CAREFUL = {
    "careful with": 1, "careful about": 1, "respectful of": 1, "mindful of": 1, "protective of": 1,
    "considerate of": 1, "attentive to": 1, "good for": 1, "serious about": 1, "in favor of": 1,
    "careless with": -1, "careless about": -1, "disrespectful of": -1, "heedless of": -1,
    "indifferent to": -1, "bad for": -1, "harmful to": -1, "hostile to": -1, "against": -1,
    "free of": -1,
}  # fmt: skip
REGARD = {
    "respect for": 1, "care for": 1, "regard for": 1, "concern for": 1, "support for": 1,
    "contempt for": -1, "disregard for": -1, "disrespect for": -1, "indifference to": -1,
}  # fmt: skip
DEGREES = {"more": 1, "most": 1, "less": -1, "least": -1}
ADVERB_DEGREES = DEGREES | {"better": 1, "best": 1, "worse": -1, "worst": -1}
COMPARED = {
    "kind": ("kinder", "kindest"), "gentle": ("gentler", "gentlest"),
    "polite": ("politer", "politest"), "warm": ("warmer", "warmest"), "nice": ("nicer", "nicest"),
    "friendly": ("friendlier", "friendliest"), "mean": ("meaner", "meanest"),
    "rude": ("ruder", "rudest"), "cruel": ("crueler", "cruelest"), "nosy": ("nosier", "nosiest"),
    "greedy": ("greedier", "greediest"), "safe": ("safer", "safest"),
    "risky": ("riskier", "riskiest"), "healthy": ("healthier", "healthiest"),
    "fair": ("fairer", "fairest"), "good": ("better", "best"), "bad": ("worse", "worst"),
    "frank": ("franker", "frankest"), "true": ("truer", "truest"),
}  # fmt: skip
PEOPLE = (
    "people", "someone", "others", "anyone", "anybody", "somebody", "other people", "a person",
    "friends", "neighbours", "the person", "persons", "family", "children", "everyone",
)  # fmt: skip
OWNERS = (
    "someone's", "people's", "other people's", "a person's", "somebody's", "everyone's",
    "the person's", "anybody's", "anyone's", "a neighbour's", "a friend's", "the family's",
)  # fmt: skip
ADVERBS = (
    "clearly", "really", "truly", "always", "in any way", "at all", "in some way", "in the end",
    "as a whole", "overall", "in general", "above all",
)  # fmt: skip

NEGATIVES = (
    "not", "never", "hardly", "fails", "fail", "failing", "nobody", "no", "fewer", "fewest",
    "without", "avoid", "reject", "remove", "contempt", "damage", "keep", "keeps", "keeping",
)  # fmt: skip


def features() -> dict[str, tuple[frozenset[str], Sign]]:
    """What each word names and which sign it has; 0 for one that stands for both or neither."""
    found: dict[str, tuple[set[str], set[Sign]]] = {}

    def note(text: str, kinds: set[str], sign: Sign) -> None:
        for word in text.split():
            if word in NEUTRAL:
                continue
            known = found.setdefault(word, (set(), set()))
            known[0].update(kinds)
            known[1].add(sign)

    def note_verb(verb: Verb, kinds: set[str]) -> None:
        for form in (verb.base, verb.third, verb.ing, verb.done):
            note(form, kinds, verb.sign)
        note(verb.tail, kinds, 1)

    for name, words in [*KINDS.items(), ("", ANY)]:
        kinds = {name} if name else set()
        for listed, sign in (
            (words.goods, 1),
            (words.ills, -1),
            (words.virtues, 1),
            (words.vices, -1),
        ):
            for text in listed:
                note(text, kinds, sign)
                for compared in COMPARED.get(text, ()):
                    note(compared, kinds, sign)
        for deed in words.good_deeds + words.bad_deeds:
            note_verb(deed, kinds)
    for stance in FOR + AGAINST:
        note_verb(stance, set())
    for table in (CAREFUL, REGARD, ADVERB_DEGREES):
        for text, sign in table.items():
            note(text, set(), sign)
    for text in NEGATIVES:
        note(text, set(), -1)
    return {
        word: (frozenset(kinds), signs.pop() if len(signs) == 1 else 0)
        for word, (kinds, signs) in found.items()
    }


NEUTRAL = frozenset(
    "the to with of for on at from about in what others people after take tell do".split()  # noqa: SIM905
)
