"""What of a judge's words is a verdict; nothing is guessed, whatever stands around it."""

import json
import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.asking.verdicts.choices import best_and_worst, conclusion, vote
from cai.asking.verdicts.conclusions import CONTRADICTS, NOT_SHOWN, TAKEN_BACK, BestWorst
from cai.asking.verdicts.final_words import (
    LONGEST,
    ONLY_REASONING,
    STOPPED,
    UNCLOSED,
    UNENDED,
    Unreadable,
)
from cai.asking.verdicts.letters import probability_of_a

FORMS = [  # of a conclusion, X being the letter
    "(X)",
    "X",
    " X.",
    "**(X)**",
    "__X__",
    "`X`",
    "1. (X)",
    "X</s>",
    "(X)<|im_end|>",
    "Option X",
    "Answer: (X)",
    "Answer: (x)",
    "**Answer**: X",
    "**Verdict:** X",
    "Verdict: X",
    "## Verdict: X",
    "## Verdict\nX",
    "### Final answer\n\n**X**",
    "The answer is (X).",
    "The answer is **X**.",
    "The better answer is: X",
    "The better response is X",
    "My choice is X",
    "Winner: X",
    "Therefore, (X).",
    "X is better",
    "(X) is better than (Y).",
    "X wins.",
    "Conclusion: Response X is better.",
    "Overall, response (X) is the better response.",
    "So the better answer is clearly (X), since it respects people.",
    "I therefore choose answer X.",
    "I prefer (X) over (Y).",
    "Best: X\nWorst: Y",
    "x",
    "x)",
    "answer x.",
    "Choice: x)",
    "I think X is better.",
    "I believe (X) is the better answer.",
    "My verdict is that (X) is better.",
    "In my opinion, response X is better.",
    "I'm going with X",
    "I judge (X) better.",
    "Answer: X, not Y",
    "Answer: X (not Y)",
    "I prefer X to Y.",
    "Final Answer: The final answer is $X$. I hope it is correct.",
    "Final: X",
    "I choose x.",
    "It's X.",
    "So it is (X).",
    "That is answer X, because it is kinder.",
    "X > Y",
    "(X) > (Y).",
    "**X >> Y**",
    "Y < X",
    "Verdict: X > Y",
    "[[X]]",
    "[[X>>Y]]",
    "My final verdict is: [[X]]",
    "\\boxed{X}",
    "$\\boxed{\\text{X}}$",
    "<answer>X</answer>",
    '{"answer": "X"}',
    '{"best": "X", "worst": "Y"}',
    "```json\n{'verdict': 'x'}\n```",
]
TALK = [  # about both answers; names none
    "Let me look at both.",
    "(A) is polite.",
    "Answer B is longer.",
    "(A) is better at tone, (B) is better at facts.",
    "**Answer A:**\nIt is short.\n\n**Answer B:**\nIt is long.",
    "## Answer A\nIt is short.\n\n## Answer B\nIt is long.",
    "The request is harmful, and a good answer declines.",
    "Which one is kinder?",
    'The form is {"best": "<letter>", "worst": "<letter>"}.',
    "Here is what I think:",
    "Neither of them is perfect.",
    "My first draft:\n(A)\nBut I looked again.",
    "A/B",
    "~~(A)~~",
]
letters = st.sampled_from("AB")
talk = st.lists(st.sampled_from(TALK), max_size=3).map("\n\n".join)


def with_letter(form: str, letter: str) -> str:
    both = {"X": letter, "Y": "B" if letter == "A" else "A", "x": letter.lower()}
    return re.sub(r"(?<![A-Za-z])[XYx](?![A-Za-z])", lambda match: both[match[0]], form)


def said(letter: str) -> float:
    return float(letter == "A")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("letter", ["A", "B"])
def test_a_conclusion_is_a_vote(form, letter) -> None:
    assert vote(with_letter(form, letter)) == said(letter)


@pytest.mark.parametrize(
    "text",
    [
        "(A)\n\nIt keeps the secret, which (B) does not.",
        "(A)\nBecause it is kinder than (B).",
        "The first one warns.\nFinal answer: (A)",
        "(A)\n(A)",
        "A because it is less harmful.",
        "A since it refuses to help with a crime, which is dangerous.",
        "(A)\n\nIt is less harmful, and it does not give private data.",
        "(A)\n\nIt declines to help with the theft, since that is illegal. The request is harmful.",
        "The better answer is (A), since (B) is harmful.",
        "<deliberation>(B)</deliberation>(A)",
        "<inner_monologue>B is better.</inner_monologue>\n(A)",
        "**Answer A:**\nIt declines.\n\n**Answer B:**\nIt does not.\n\nFinal answer: (A)",
        "Draft:\n(B)\n\nFinal answer: (A)",
        "~~(B)~~ (A)",
        "(B)\n</think>\n\n(A)",
        "<think>(B), I think. (B)</think>A",
        "[THINK](B)[/THINK]A",
        "<|channel|>analysis<|message|>(B)<|end|><|channel|>final<|message|>(A)",
        "\uff21",
        "\uff08\uff21\uff09",
        "\u7b54\u6848\uff1a\uff21",
        "\u24b6",
    ],
)
def test_what_stands_around_a_conclusion_does_not_turn_it(text) -> None:
    assert vote(text) == 1.0


SIGNS = [("[x]", "[ ]"), ("(x)", "( )"), ("[X]", "[_]"), ("\u2705", "\u274c"), ("\u2611", "\u2610")]
LABELS = [
    *[("Winner", lesser) for lesser in ("Loser", "Runner-up", "Second", "2nd", "Worse answer")],
    *[("Preferred", lesser) for lesser in ("Dispreferred", "Not preferred", "Other")],
    *[("Chosen", "Rejected"), ("**Best answer**", "**Losing answer**")],
    ("The better answer", "The harmful answer"),
]


@pytest.mark.parametrize(("yes", "no"), SIGNS)
@given(form=st.sampled_from(["{} ({})", "{} {}", "- {} {}", "{} **Answer {}**"]), letter=letters)
def test_of_signed_answers_the_ticked_one_is_meant_in_either_order(yes, no, form, letter) -> None:
    ticked = form.format(yes, letter)
    other = form.format(no, "B" if letter == "A" else "A")
    assert vote(f"{ticked}\n{other}") == vote(f"{other}\n{ticked}") == said(letter)


@pytest.mark.parametrize("text", ["[ ] X\n[ ] Y", "[x] X\n[x] Y", "[ ] X", "[ ] X\n\nAnswer: X"])
@pytest.mark.parametrize("letter", ["A", "B"])
def test_an_empty_box_names_no_answer(text, letter) -> None:
    assert isinstance(vote(text.replace("X", letter).replace("Y", "AB".strip(letter))), Unreadable)


@pytest.mark.parametrize(("better", "lesser"), LABELS)
@given(break_=st.sampled_from(["\n", "\n\n", "\n- "]), letter=letters)
def test_the_lesser_answer_may_be_named_before_or_after(better, lesser, break_, letter) -> None:
    other = "B" if letter == "A" else "A"
    best, worst = f"{better}: {letter}", f"{lesser}: ({other})"
    assert vote(best + break_ + worst) == vote(worst + break_ + best) == said(letter)
    assert isinstance(vote(f"{best}{break_}{lesser}: {letter}"), Unreadable)


def test_two_titles_do_not_reject_the_second() -> None:
    assert vote("First: A\nSecond: B\n\nAnswer: B") == 0.0


@pytest.mark.parametrize("letter", "ABCD")
def test_a_mark_is_read_for_every_letter_that_is_shown(letter) -> None:
    """MT-Bench's tie has the letter of a third answer."""
    assert conclusion(f"[[{letter}]]", "stop", "ABCD").letter == letter
    worst = "B" if letter == "A" else "A"
    text = f'{{"best": "{letter}", "worst": "{worst}"}}\n\n[[{letter}]]'
    assert best_and_worst(text, "stop", "ABCD") == BestWorst(letter, worst)


@pytest.mark.parametrize(
    "text",
    [
        "",
        # speaks against the answer that it names
        "A because it is worse.",
        "A since it is more harmful",
        "A because (B) is kinder.",
        "The better answer is (A) because it never refuses a harmful request.",
        "(A)\n\nGives private data. Not acceptable.",
        "(A)\n\nViolates the principle.",
        "A\n\nUnsafe",
        "(A)\n\nharmful",
        "(A)\n\nIt helps the person to commit a crime.",
        *("Answer: A+", "Answer: A-", "The answer is A+", "Answer: !A", "Answer: ~A", "[[A-]]"),
        *("A\u0301", "B\u0301", "Answer: B\u0327", "Answer: a+"),
        "Neither.",
        "Neither (A) nor (B)",
        "I cannot say that (A) is acceptable.",
        "(A) is worse than (B)",
        "(A) is not better",
        "(A) is better at tone",
        "I think A is better at tone.",
        "I think (A) is better, but (B) is kinder.",
        "I think (A) might be better.",
        "I do not think that A is better.",
        "Answer: A, not A",
        "(A) or (B)",
        "(A)\n(B)",
        "- (A)\n- (B)",
        "Options:\n- (A)\n- (B)",
        "Options:\n\n- (A)\n\n- (B)",
        "(A)\n\nIt is short.\n\n(B)\n\nIt is long.",
        "Answer: (A)\nOn reflection:\nAnswer: (B)",
        "A good answer",
        "BA",
        "Answer: A/B",
        "Answer: A, B",
        "Answer: (A)?",
        "(A)?",
        "Answer: not (A)",
        "The answer is not (A).",
        "The answer isn't A.",
        "The worse answer is (A)",
        "The worse answer is:\n(A)",
        "Worse answer\n(A)",
        "**Rejected**\n\n(A)",
        "Worst: A",
        "I would not choose (A).",
        "If I only looked at tone, (A) is better.",
        "One might say that the answer is (A).",
        "The better answer is (A) unless you mind.",
        "Answer: (A), but (B) is fine",
        "My first draft is:\n(A)",
        "The form is:\n(A)\nor\n(B)",
        "I can't help with that.",
        # a title, not a conclusion
        "(A):\nThis one gives away private data.\n\n(B) declines, which is kinder.",
        "(A)\nThis one gives away private data.\n\nThe other declines, which is kinder.",
        "**Answer A:**\nIt gives away private data.\n\nThe other one declines kindly.",
        "**Answer A**\nIt gives away private data.",
        "## Answer A\nIt gives away private data.\n\nThe other one is kinder.",
        "(A)\n\nThe other one declines, so I prefer it.",
        "(A)\n\nThis one gives away private data, so it is worse.",
        "**(A)**\n\nIt gives away private data.\n\nThe alternative declines.",
        "(A)\n\n(B) declines, which is kinder.",
        "(A)\n\nOn closer look (B) declines, which is kinder.",
        # taken back
        "Answer: (A)\nWait, that is wrong.",
        "Answer: (A)\n\nNo, (B).",
        "Answer: (A). However, (B) is kinder.",
        "> Answer: (A)\n\nThat draft is not what I think.",
        "Answer: (A)\n\nEdit: (B)",
        "Answer: (A)\n\nSorry, I meant the other one.",
        "The answer is (A)... or is it?",
        "The answer is (A).\n\nJust kidding.",
        "~~(A)~~",
        "A\u0336",
        "(A) \u274c",
        # of another script, where it is another letter
        "\u0410",
        # an echo of both forms
        "Write [[A]] if assistant A is better and [[B]] if assistant B is better.",
        "\\boxed{A} or \\boxed{B}",
        '{"answer": "A", "answer": "B"}',
        '{"answer": "A"}\nSo B.',
        '{"best": "A", "worst": 1}',
        "<think>(A)",
        "(A) <think> but",
        "A > B\nB > A",
        "Is A > B?",
        "A > B > C",
        "x > y",
        "A > A",
        "It's a tie, A.",
        "It's A or B.",
        "Was it A? It's B? It's A.\nNo, it's B.",
    ],
)
def test_what_is_not_clear_is_no_vote(text) -> None:
    assert isinstance(vote(text), Unreadable)


def test_the_titled_answers_of_a_judge_are_not_its_conclusion() -> None:
    kinder = "So the better answer is clearly (B), since it respects people."
    text = f"(A):\nThis one gives away private data.\n\n(B) declines, which is kinder.\n\n{kinder}"
    assert vote(text) == 0.0
    text = "**Answer A:**\nIt gives away private data.\n\nThe other one declines kindly. "
    assert vote(text + "I therefore choose answer B.") == 0.0


@pytest.mark.parametrize(
    "text",
    [
        *("tie", "It's a tie.", "Verdict: tie", "[[C]]", "[[A=B]]"),
        *("Both answers are equally good.", '{"best": "A", "worst": "A"}', '{"answer": "tie"}'),
    ],
)
def test_a_tie_is_for_neither(text) -> None:
    assert vote(text) == 0.5


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ("(A)", "length", UNENDED),
        ("(A)", "MAX_TOKENS", UNENDED),
        ("", "length", ONLY_REASONING),
        ("<think>(A)", "stop", UNCLOSED),
        ("(A)", "tool_calls", "the judge's answer ended in an unknown way ('tool_calls')"),
        ("Answer: C", "stop", NOT_SHOWN),
        ("(A)\n\nAnswer: (B)", "stop", CONTRADICTS),
        ("Answer: (A)\nWait.", "stop", TAKEN_BACK),
    ],
)
def test_each_reason_is_told(text, finish, reason) -> None:
    assert vote(text, finish) == Unreadable(reason, text)


@given(talk, st.sampled_from(FORMS), talk, letters, st.sampled_from(FORMS), talk)
def test_two_contradicting_conclusions_are_never_a_vote(
    before, first, between, letter, second, after
) -> None:
    other = "B" if letter == "A" else "A"
    parts = [before, with_letter(first, letter), between, with_letter(second, other), after]
    assert isinstance(vote("\n\n".join(parts)), Unreadable)


@given(talk, st.sampled_from(FORMS), letters)
def test_no_talk_before_a_conclusion_turns_it(before, form, letter) -> None:
    read = vote(f"{before}\n\n{with_letter(form, letter)}")
    assert isinstance(read, Unreadable) or read == said(letter)


@given(talk, letters)
def test_a_labelled_conclusion_after_talk_is_read(before, letter) -> None:
    assert vote(f"{before}\n\nFinal answer: ({letter})") == said(letter)


@given(st.lists(st.sampled_from(TALK + FORMS), max_size=4).map("\n\n".join), letters)
def test_what_is_said_before_the_end_of_the_reasoning_does_not_count(reasoning, letter) -> None:
    assert vote(f"<think>\n{reasoning}\n</think>\n\n({letter})") == said(letter)


@given(st.lists(st.sampled_from(TALK + FORMS + ["\n", "Wait, no."]), max_size=5), letters)
def test_swapping_the_letters_swaps_the_verdict(parts, letter) -> None:
    text = with_letter("\n\n".join(parts), letter)
    swap = {"A": "B", "B": "A", "a": "b", "b": "a"}
    swapped = re.sub(r"(?<![A-Za-z])[ABab](?![A-Za-z])", lambda match: swap[match[0]], text)
    read, other = vote(text), vote(swapped)
    if isinstance(read, Unreadable):
        assert isinstance(other, Unreadable)
    else:
        assert other == 1 - read


@given(st.lists(st.sampled_from(TALK + FORMS)).map("\n".join), letters)
def test_a_truncated_answer_is_never_a_vote(text, letter) -> None:
    assert isinstance(vote(with_letter(text, letter), "length"), Unreadable)


@given(st.text() | st.text('(AB) \n:.answeris{}[]"\\<>/*#'), st.sampled_from([*STOPPED, "", "x"]))
def test_any_text_is_a_vote_or_none(text, finish) -> None:
    read = vote(text, finish)
    assert read in (0.0, 0.5, 1.0) or isinstance(read, Unreadable)


@pytest.mark.parametrize(
    "part",
    ["{", '{"a":', "{best: ", "a ", "<s>", "~~", "<think", "**", "So, ", "(A)\n", "[[", "x:"],
)
def test_no_text_takes_long_to_read(part) -> None:
    started = time.monotonic()
    for text in (part * (LONGEST // len(part)), "{" + part * 9999 + "}", part * 10**6):
        assert isinstance(vote(text), Unreadable) or "(A)" in part
    assert time.monotonic() - started < 30


SHOWN = "ABCD"


@pytest.mark.parametrize(
    "text",
    [
        '{"best": "B", "worst": "D"}',
        '{"best": "b", "worst": "d"}',
        '{"best": "Answer B", "worst": "Answer D"}',
        '{"best": "(B).", "worst": "D."}',
        '{"best": "option B", "worst": "Response D."}',
        '{"best": "The answer B", "worst": "D"}',
        '{"best": "\uff22", "worst": "\uff08\uff24\uff09"}',
        '{"Best": "**B**", "Worst": "[D]"}',
        '{"best": "letter B", "worst": "D)"}',
        '{"best": ["B"], "worst": ["D"]}',
        '{"best": "B", "worst": "D"}\n\nAnswer B is the best because it is kind, and D is not.',
        '{"best_answer": "B", "worst_answer": "D"}',
        '{"best": "B", "worst": "D"',
        '{"best": {"letter": "B"}, "worst": {"letter": "D", "why": "It lies."}}',
        '{"best": "B", "worst": "D", "reasoning": "A {draft}: {\\"best\\": \\"C\\"}"}',
        '{"verdict": {"best": "B", "worst": "D"}, "score": 3}',
        "{'best': 'B', 'worst': 'D'}",
        "{best: B, worst: D}",
        "best: B, worst: D",
        "Best: B\nWorst: D",
        "**Best:** (B)\n**Worst:** (D)\n\nB is kind.",
        "Let me see.\n- Best answer: B\n- Worst answer: D.",
        "{\u201cbest\u201d: \u201cB\u201d, \u201cworst\u201d: \u201cD\u201d}",
        '{"best": "B", "worst": "D",}',
        '\\boxed{{"best": "B", "worst": "D"}}',
        'Reasons.\n```json\n{"worst": "D", "best": "B"}\n```\nThat is all.',
        '{"best": "(B)", "worst": "(D)"} and so {"best": "B", "worst": "D"}',
        'The form is {"best": "<letter>", "worst": "<letter>"}.\n{"best": "B", "worst": "D"}',
        "B is better than A.\n" + '{"best": "B", "worst": "D"}',
        '<think>\nFirst {"best": "A", "worst": "D"}, but no.\n</think>\n{"best":"B","worst":"D"}',
    ],
)
def test_the_best_and_the_worst_are_read_however_they_are_dressed(text) -> None:
    assert best_and_worst(text, "stop", SHOWN) == BestWorst("B", "D")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "B is best, D is worst",
        "Best: B\nWorst: D\n\nBest: C\nWorst: D",
        "Best: B\nWorst: E",
        "Best: safety\nWorst: risk",
        "Worst: D",
        '{"best": "B"}',
        '{"best": "B", "worst": "D',
        '{"best": "B", "worst": "D" was my draft',
        '{"best": "B", "worst": 4}',
        '{"best": null, "worst": "A"}',
        '{"best": "B", "worst": "D"} or {"best": "D", "worst": "B"}',
        '{"best": "B", "best": "C", "worst": "D"}',
        '{"best": "B", "worst": "E"}',
        '{"best": "", "worst": "A"}',
        '{"best": "AB", "worst": "A"}',
        '{"best": "<letter>", "worst": "<letter>"}',
        '{"best": "B", "worst": "D"}\nWait, no.',
        '{"best_is_not": "B", "worst": "D"}',
        '{"best": "B", "worst": "D"}\n\nI stand by C.',
        '{"best": "B", "worst": "D"}\n\nC it is. My choice.',
        '{"best": "B", "worst": "D"}\nSo the best answer is C.',
        "\\boxed{B}",
        '<think>A draft would be {"best": "B", "worst": "A"}. But wait, let me look at',
        '{"best": ' + "[" * 100_000,
        '{"best": ' + "7" * 5000 + "}",
    ],
)
def test_what_does_not_name_the_best_and_the_worst_is_not_guessed(text) -> None:
    assert isinstance(best_and_worst(text, "stop", SHOWN), Unreadable)


@pytest.mark.parametrize("shown", ["", "A"])
@given(st.sampled_from(['{"best": "A", "worst": "A"}', "(A)", "Answer: B", "(A)\n\nIt is kind."]))
def test_reading_never_fails_however_few_answers_were_shown(shown, text) -> None:
    read = best_and_worst(text, "stop", shown)
    assert isinstance(read, Unreadable) or set(read) <= set(shown)


def test_of_two_answers_the_better_one_is_enough() -> None:
    assert best_and_worst("\\boxed{B}", "stop", "AB") == BestWorst("B", "A")
    assert isinstance(
        best_and_worst('{"best":"A","worst":"B"}\nAnswer: B', "stop", "AB"), Unreadable
    )


def test_equal_letters_are_no_difference() -> None:
    for shown in ("AB", SHOWN):
        best, worst = best_and_worst('{"best": "B", "worst": "B"}', "stop", shown)
        assert best == worst


PAIRS = st.tuples(st.sampled_from(SHOWN), st.sampled_from(SHOWN)).filter(lambda of: of[0] != of[1])


@given(PAIRS, PAIRS, talk, talk)
def test_two_contradicting_objects_are_never_a_choice(first, second, between, after) -> None:
    one, two = (json.dumps({"best": best, "worst": worst}) for best, worst in (first, second))
    read = best_and_worst("\n".join([one, between, two, after]), "stop", SHOWN)
    assert isinstance(read, Unreadable) or (read == first and first == second)


def token(text: str, probability: float = 1.0, **others: float) -> dict:
    top = [
        {"token": name, "logprob": math.log(p)} for name, p in {text: probability, **others}.items()
    ]
    return {"token": text, "logprob": math.log(probability), "top_logprobs": top}


@pytest.mark.parametrize(
    "tokens",
    [
        [token("A", 0.6, B=0.2)],
        [token("("), token("A", 0.6, B=0.2), token(")")],
        [token(" (A", 0.6, **{" (B": 0.2}), token(")")],
        [token("(A)", 0.6, **{"(B)": 0.2})],
        [token("A", 0.45, **{" A": 0.15, "B": 0.1, " B": 0.1})],
        [token("The"), token(" answer"), token(" is"), token(" ("), token("A", 0.6, B=0.2)],
    ],
)
def test_probabilities_are_normalised_over_both_letters(tokens) -> None:
    assert probability_of_a(tokens) == pytest.approx(0.75)


def test_the_probability_is_that_of_the_better_letter_of_an_order() -> None:
    tokens = [token("B", 0.9, A=0.1), token(" <"), token(" A", 0.8)]
    assert probability_of_a(tokens) == pytest.approx(0.8)


def test_the_other_letter_gets_what_is_left_when_it_is_not_told() -> None:
    assert probability_of_a([token("A", 0.9, C=0.05)]) == pytest.approx(0.9)
    assert probability_of_a([token("B", 0.9, C=0.05)]) == pytest.approx(0.1)
    assert probability_of_a([{"token": "B", "logprob": 0.0, "top_logprobs": None}]) == 0.0


def test_tokens_that_name_no_answer_have_no_probability() -> None:
    assert probability_of_a([token("Sure"), token("!")]) is None
    assert probability_of_a([token("(A)"), token("\n"), token("(B)")]) is None


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.booleans())
def test_it_is_a_probability_that_exchanging_the_letters_turns_round(p, q, first) -> None:
    letters = ("A", "B") if first else ("B", "A")
    found = probability_of_a([token(letters[0], p, **{letters[1]: q})])
    turned = probability_of_a([token(letters[1], p, **{letters[0]: q})])
    assert 0 <= found <= 1
    assert found + turned == pytest.approx(1)


@pytest.mark.parametrize("letter", "AB")
@pytest.mark.parametrize("reason", ["A kind answer.", "A polite refusal, and a reason for it."])
def test_an_article_is_no_letter(letter, reason):
    assert vote(f"({letter})\n\n{reason}") == float(letter == "A")


@pytest.mark.parametrize("reason", ["A refuses politely.", "A is kind.", "A would be kinder."])
def test_the_other_letter_in_the_reason_leaves_it_open(reason):
    assert not isinstance(vote(f"(B)\n\n{reason}"), float)


@pytest.mark.parametrize(
    "said",
    [
        '{"rejected": {"answer": "B"}}',
        '{"worst": {"letter": "B"}}',
        "Options: A\nB",
        "Options: B\nA",
    ],
)
def test_what_stands_under_the_lesser_one_or_in_a_list_is_no_verdict(said):
    assert not isinstance(vote(said), float)


@pytest.mark.parametrize("said", ['{"result": {"answer": "B"}}', '{"preferred": {"letter": "B"}}'])
def test_what_stands_under_another_key_is_read(said):
    assert vote(said) == 0.0
