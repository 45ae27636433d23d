"""The three judges: what they are asked, how they are read, what becomes of nonsense."""

import json
import re
from collections import Counter

import pytest
from answering_servers import ChatServer, NemoServer
from hypothesis import given, settings
from hypothesis import strategies as st
from step_programs import candidates, preferences, principle_options

from cai.asking.chat.chat_client import ChatAnswer
from cai.asking.verdicts.final_words import Unreadable
from cai.judging.chat_judge import Choice, read_choice
from cai.settings.judges import judge_option

QUESTION = "Request: {prompt} (A) {a} (B) {b} Question: {principle}"
ASKED = re.compile(
    r"\[INST\] Request: (.*) \(A\) (.*) \(B\) (.*) Question: (.*) \[/INST\] Answer: "
)
BETTER = ("Never.", "No.", "Why not?", "Sure.")  # what the tests' judges prefer, best first


def logprob(**changes: object) -> list[str]:
    judge = {"kind": "logprob", "pairs": 1, "question": QUESTION, "answer_prefix": " Answer: "}
    return ["--judge", json.dumps({**judge, **changes}), *principle_options(preferences())]


def by_rank(prompt: str, body: dict) -> str:
    """A judge without a bias."""
    _, a, b, _ = ASKED.fullmatch(prompt).groups()
    return "(A)" if BETTER.index(a) < BETTER.index(b) else "(B)"


def test_an_unbiased_judge_is_read_in_both_orders(step) -> None:
    with NemoServer(by_rank, probability=0.9) as server:
        judge = step("judge_candidates", candidates(30), server.url)
        rows = judge.rows(*logprob())
    assert len(server.prompts) == 60
    for row in rows:
        expected = 0.9 if BETTER.index(row["a"]) < BETTER.index(row["b"]) else 0.1
        assert row["p_a"] == pytest.approx(expected)
        assert row["judge"]["by_order"] == pytest.approx([expected, expected])
    report = judge.report
    assert report["order_agreement"] == 1
    assert report["first_preferred"] == pytest.approx(0.5)
    assert report["confidence"] == pytest.approx(0.4)
    assert report["ties"] == 0
    assert sum(p["comparisons"] for p in report["principles"].values()) == 30


def test_a_bias_towards_a_position_cancels_and_is_reported(step) -> None:
    with NemoServer(lambda prompt, body: "(A)", probability=0.8) as server:
        judge = step("judge_candidates", candidates(20), server.url)
        rows = judge.rows(*logprob())
    assert {row["p_a"] for row in rows} == {0.5}
    assert judge.report["ties"] == 20
    assert judge.report["order_agreement"] == 0
    assert judge.report["first_preferred"] == pytest.approx(0.8)


def test_one_order_alone_keeps_the_bias(step) -> None:
    with NemoServer(lambda prompt, body: "(A)", probability=0.8) as server:
        judge = step("judge_candidates", candidates(5), server.url)
        rows = judge.rows(*logprob(both_orders=False))
    assert len(server.prompts) == 5
    assert all(row["p_a"] == pytest.approx(0.8) for row in rows)
    assert judge.report["order_agreement"] is None


def test_several_principles_are_averaged(step) -> None:
    def write(prompt: str, body: dict) -> str:
        return by_rank(prompt, body) if "kindness" in prompt or "honesty" in prompt else "(A)"

    with NemoServer(write) as server:
        rows = step("judge_candidates", candidates(5), server.url).rows(
            *logprob(principles_per_comparison=4)
        )
    for row in rows:
        of = row["judge"]["by_principle"]
        assert set(of) == set(preferences()) == set(row["principle"].split("+"))
        assert row["p_a"] == pytest.approx(sum(of.values()) / 4)
        assert of["privacy"] == 0.5 != of["kindness"]


def test_slots_in_answers_are_text(step) -> None:
    rows = candidates(1, ("{b} or {principle}", "Sure."))
    with NemoServer(lambda prompt, body: "(A)") as server:
        step("judge_candidates", rows, server.url).rows(*logprob())
    assert all("{b} or {principle}" in prompt for prompt in server.prompts)


def test_editing_a_preference_asks_only_for_what_drew_it(step) -> None:
    with NemoServer(by_rank) as server:
        judge = step("judge_candidates", candidates(40), server.url)
        rows = judge.rows(*logprob(pairs=2))
        server.bodies.clear()
        edited = preferences()
        edited["privacy"]["preference"] = "Which keeps secrets?"
        again = judge.rows(*logprob(pairs=2), *principle_options(edited))
    drew = Counter(row["principle"] for row in rows)
    assert len(rows) == 80 and len(drew) == 4
    assert len(server.prompts) == 2 * drew["privacy"]
    assert [row["principle"] for row in again] == [row["principle"] for row in rows]


def test_an_answer_that_is_no_letter_drops_the_comparison(step) -> None:
    def write(prompt: str, body: dict) -> str:
        return "Perhaps" if "neighbour 0?" in prompt else by_rank(prompt, body)

    with NemoServer(write) as server:
        judge = step("judge_candidates", candidates(4), server.url)
        rows = judge.rows(*logprob())
    assert len(rows) == 3
    assert judge.ledger["dropped"] == {"neither (A) nor (B)": 1}


def test_a_served_judge_that_never_names_a_letter_is_given_up_after_a_dozen(step) -> None:
    with NemoServer(lambda prompt, body: "Perhaps") as server:
        judge = step("judge_candidates", candidates(60), server.url)
        done = judge.run(*logprob(), "--client", '{"batch_size": 4}')
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "none of the first 12 answers of the judge is (A) or (B)" in line
    assert "'Perhaps'" in line and "answer_prefix" in line
    assert len(server.prompts) < 30


def test_the_control_is_a_fair_coin_that_asks_nobody(step) -> None:
    judge = step("judge_candidates", candidates(400))
    options = ["--judge", '{"kind": "random"}', *principle_options(preferences())]
    rows = judge.rows(*options)
    assert rows == judge.rows(*options)
    assert {row["p_a"] for row in rows} == {0.0, 0.5, 1.0}
    assert abs(sum(row["p_a"] for row in rows) / 400 - 0.5) < 0.15  # 6 sigma
    assert abs(judge.report["confidence"] - 0.25) < 0.1  # the two orders agree half of the time


def verdict(text: str) -> str:
    """The answer of a chat judge that follows BETTER."""
    shown = dict(re.findall(r"^\((.)\) (.*)$", text, re.MULTILINE))
    ranked = sorted(shown, key=lambda letter: BETTER.index(shown[letter]))
    return f'Hm.\n{{"best": "{ranked[0]}", "worst": "{ranked[-1]}"}}'


def chat(server: ChatServer, **changes: object) -> list[str]:
    judge = {"kind": "chat", "url": server.url, "model": "judge", **changes}
    return ["--judge", json.dumps(judge), *principle_options(preferences())]


def test_the_chat_judge_sees_everything_and_labels_best_against_worst(step) -> None:
    with ChatServer(verdict) as server:
        judge = step("judge_candidates", candidates(30))
        rows = judge.rows(*chat(server))
    for body in server.bodies:
        system, user = (message["content"] for message in body["messages"])
        assert all(texts["preference"] in system for texts in preferences().values())
        assert all(f") {text}" in user for text in BETTER)
    orders = Counter(
        re.search(r"\(A\) (.*)", b["messages"][1]["content"])[1] for b in server.bodies
    )
    assert len(orders) == 4  # no candidate always stands first
    assert {frozenset((row["a"], row["b"])) for row in rows} == {frozenset(("Never.", "Sure."))}
    assert all(row["p_a"] == (row["a"] == "Never.") for row in rows)
    assert {row["a"] for row in rows} == {"Never.", "Sure."}
    assert judge.report["ties"] == 0


def test_two_orders_of_the_chat_judge_show_its_bias(step) -> None:
    last_is_worst = '{"best": "A", "worst": "D"}'
    with ChatServer(lambda text: last_is_worst) as server:
        judge = step("judge_candidates", candidates(10))
        rows = judge.rows(*chat(server, orders=2))
    assert len(server.bodies) == 20
    assert all(row["p_a"] == 0.5 and row["judge"]["tie"] for row in rows)
    assert judge.report["order_agreement"] == 0
    assert judge.report["first_preferred"] == 1


def test_two_orders_of_an_unbiased_chat_judge_agree(step) -> None:
    with ChatServer(verdict) as server:
        judge = step("judge_candidates", candidates(10))
        rows = judge.rows(*chat(server, orders=2))
    assert all(row["p_a"] == (row["a"] == "Never.") for row in rows)
    assert judge.report["order_agreement"] == 1
    assert judge.report["first_preferred"] == 0.5


def test_no_difference_is_a_tie_that_is_marked(step) -> None:
    with ChatServer(lambda text: '{"best": "B", "worst": "B"}') as server:
        rows = step("judge_candidates", candidates(3)).rows(*chat(server))
    assert all(row["p_a"] == 0.5 and row["judge"]["tie"] for row in rows)


def test_nonsense_is_dropped_with_its_text_and_never_guessed(step) -> None:
    def write(text: str) -> str:
        if "neighbour 0?" in text:
            return "I cannot help with that."
        return '{"best": "A", "worst": "E"}' if "neighbour 1?" in text else verdict(text)

    with ChatServer(write) as server:
        judge = step("judge_candidates", candidates(10))
        rows = judge.rows(*chat(server))
    assert len(rows) == 8
    assert judge.ledger["dropped"] == {
        "the judge named an answer that does not exist": 1,
        "the judge's answer cannot be read": 1,
    }
    answers = [row["record"]["answer"] for row in judge.ledger["rejected"]]
    assert answers == ["I cannot help with that.", '{"best": "A", "worst": "E"}']
    assert judge.report["failed"] == judge.ledger["dropped"]


def test_a_judge_that_talks_nonsense_ends_the_run_with_an_example(step) -> None:
    with ChatServer(lambda text: "As a language model\nI have no opinion.") as server:
        judge = step("judge_candidates", candidates(10))
        done = judge.run(*chat(server), "--max-bad-share", 0.1)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "10 of 10" in line and "As a language model" in line and "0.1" in line
    assert not judge.output.exists()


ORDER = ["w", "x", "y", "z"]


@pytest.mark.parametrize(
    "answer",
    [
        '{"best": "B", "worst": "D"}',
        'Reasons.\n```json\n{"worst": "D", "best": "B"}\n```\nThat is all.',
        '{"best": "(B)", "worst": "(D)"} and so {"best": "B", "worst": "D"}',
        '{"best": "B", "worst": "D", "why": "C"}',
        "{'best': 'B', 'worst': 'D'}",
    ],
)
def test_readable_answers(answer) -> None:
    assert read_choice(ChatAnswer(answer), ORDER) == Choice("x", "z")


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "B is best, D is worst",
        '{"best": "B"}',
        '{"best": "B", "worst": 4}',
        '{"best": "B", "worst": "D"} or {"best": "D", "worst": "B"}',
        '{"best": "B", "worst": "E"}',
        '{"best": "", "worst": "A"}',
        '{"best": "AB", "worst": "A"}',
    ],
)
def test_unreadable_answers(answer) -> None:
    read = read_choice(ChatAnswer(answer), ORDER)
    assert isinstance(read, Unreadable) and read.answer == answer


@settings(deadline=None)
@given(
    st.text()
    | st.builds(json.dumps, st.dictionaries(st.sampled_from(["best", "worst"]), st.text()))
)
def test_any_answer_is_read_or_told_to_be_unreadable(answer) -> None:
    read = read_choice(ChatAnswer(answer), ORDER)
    assert isinstance(read, Unreadable) or {read.best, read.worst} <= set(ORDER)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ('{"kind": "vote"}', "vote"),
        ('{"kind": "logprob", "question": "{prompt} {a} {b}"}', "{principle}"),
        ('{"kind": "chat", "model": "m"}', "url"),
        ('{"kind": "random", "coins": 2}', "coins"),
        ("nonsense", "JSON"),
    ],
)
def test_wrong_judge_settings_name_the_field(settings, named) -> None:
    with pytest.raises(Exception, match=re.escape(named)):
        judge_option(settings)


def answers(texts: list[str]) -> list[dict]:
    rows = candidates(len(texts))
    sets = ["harmful", "helpful"]
    return [
        {"id": row["id"], "prompt": row["prompt"], "set": sets[i % 2], "answer": text}
        for i, (row, text) in enumerate(zip(rows, texts, strict=True))
    ]


def test_win_rates_by_set(step, tmp_path) -> None:
    first = answers(["Never.", "Sure.", "No.", "Why not?", "Sure.", "No."])
    second = answers(["Sure.", "Never.", "Sure.", "No.", "Sure.", "No."])
    against = tmp_path / "second.jsonl"
    against.write_text("".join(json.dumps(row) + "\n" for row in second))
    with NemoServer(by_rank, probability=1.0) as server:
        judge = step("judge_answers", first, server.url)
        rows = judge.rows("--against", against, *logprob())
    assert len(server.prompts) == 2 * 4  # equal answers are not asked about
    assert [row["p_first"] for row in rows] == pytest.approx([1, 0, 1, 0, 0.5, 0.5])
    sets = judge.report["sets"]
    assert sets["harmful"]["win_rate"] == pytest.approx(2.5 / 3)
    assert sets["helpful"]["win_rate"] == pytest.approx(0.5 / 3)
    assert sets["harmful"]["pairs"] == 3 and sets["harmful"]["equal_or_tied"] == 1


def test_a_prompt_that_one_model_lacks_is_dropped(step, tmp_path) -> None:
    against = tmp_path / "second.jsonl"
    against.write_text(json.dumps(answers(["Sure.", "No."])[0]) + "\n")
    with NemoServer(by_rank) as server:
        judge = step("judge_answers", answers(["No.", "No."]), server.url)
        rows = judge.rows("--against", against, *logprob())
    assert len(rows) == 1
    assert judge.ledger["dropped"] == {"not answered by the second model": 1}
