"""First responses, candidates and evaluation answers."""

import json
from collections import Counter

import pytest
from answering_servers import NemoServer, hash_of
from step_programs import prompts

TEMPERATURES = ["--temperatures", 0.5, 1.0, 1.0, 1.5]


def test_shards_are_disjoint_and_whole(step) -> None:
    with NemoServer(hash_of) as server:
        respond = step("respond", prompts(50), server.url)
        shards = [respond.rows("--shard", f"{index}/3") for index in range(3)]
    ids = [row["id"] for shard in shards for row in shard]
    assert sorted(ids) == sorted(row["id"] for row in prompts(50))
    assert all(shards)


@pytest.mark.parametrize("shard", ["3/3", "-1/3", "1", "a/b"])
def test_a_shard_that_does_not_exist_is_refused(step, shard) -> None:
    done = step("respond", prompts(1), "http://127.0.0.1:9").run(f"--shard={shard}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: option --shard") and shard in done.stderr


@pytest.mark.parametrize(
    ("option", "left"), [("--keep-unfinished", 9), ("--no-keep-unfinished", 6)]
)
def test_unfinished_responses_are_counted_and_kept_if_wanted(step, option, left) -> None:
    unfinished = {row["prompt"] for row in prompts(10)[:3]}
    empty = prompts(10)[3]["prompt"]

    def write(prompt: str, body: dict) -> str:
        question = prompt.removeprefix("[INST] ").removesuffix(" [/INST]")
        if question == empty:
            return "</s>"
        return " Well" if question in unfinished else " Well.</s>"

    with NemoServer(write) as server:
        respond = step("respond", prompts(10), server.url)
        rows = respond.rows(option)
    assert len(rows) == left
    assert respond.ledger["notes"]["unfinished"] == 3
    assert respond.ledger["dropped"]["empty response"] == 1
    assert {row["response"] for row in rows} == {"Well."} | ({"Well"} if left == 9 else set())


def test_evaluation_keeps_unfinished_and_empty_answers(step) -> None:
    rows = [{**row, "set": "harmful"} for row in prompts(3)]
    with NemoServer(lambda prompt, body: "" if "0" in prompt else " On and on") as server:
        answers = step("answer", rows, server.url).rows()
    assert Counter(row["answer"] for row in answers) == {"": 1, "On and on": 2}
    assert {row["finish"] for row in answers} == {"length"}
    assert [row["id"] for row in answers] == [row["id"] for row in rows]


def test_candidates_are_distinct_and_know_their_temperature(step) -> None:
    with NemoServer(hash_of) as server:
        sample = step("sample_candidates", prompts(5), server.url)
        rows = sample.rows(*TEMPERATURES)
    # the two answers at temperature 1 are equal here, as the server's hash has no seed
    assert all([c["temperature"] for c in row["candidates"]] == [0.5, 1.0, 1.5] for row in rows)
    notes = sample.ledger["notes"]
    assert (notes["answers"], notes["left_out"]) == (20, {"repeated": 5})
    assert (notes["usage"]["questions"], notes["usage"]["reused"]) == (20, 0)
    asked = Counter((body["temperature"], len(body["sentences"])) for body in server.bodies)
    assert asked == {(0.5, 5): 1, (1.0, 5): 2, (1.5, 5): 1}
    assert len({body["random_seed"] for body in server.bodies}) == 4


def test_too_few_candidates_are_dropped_and_unfinished_ones_left_out(step) -> None:
    def write(prompt: str, body: dict) -> str:
        if "neighbour 0" in prompt:
            return " The only one.</s>" if body["temperature"] == 0.5 else " cut"
        return " cut" if body["temperature"] == 1.5 else hash_of(prompt, body)

    with NemoServer(write) as server:
        sample = step("sample_candidates", prompts(4), server.url)
        rows = sample.rows(*TEMPERATURES)
    assert [len(row["candidates"]) for row in rows] == [2, 2, 2]
    assert sample.ledger["dropped"] == {"fewer than two distinct candidates": 1}
    assert sample.ledger["failed"] == 1
    assert sample.ledger["notes"]["left_out"] == {"repeated": 3, "unfinished": 3 + 3}


def test_equal_candidates_are_counted_and_are_no_failure(step) -> None:
    def write(prompt: str, body: dict) -> str:
        return " Always the same.</s>" if "neighbour 0" in prompt else hash_of(prompt, body)

    with NemoServer(write) as server:
        sample = step("sample_candidates", prompts(4), server.url)
        rows = sample.rows(*TEMPERATURES, "--max-bad-share", 0)
    assert len(rows) == 3
    assert sample.ledger["dropped"] == {"the candidates are equal": 1}
    assert sample.ledger["failed"] == 0


def test_greedy_candidates_are_refused(step) -> None:
    sample = step("sample_candidates", prompts(1), "http://127.0.0.1:9")
    done = sample.run(*TEMPERATURES, "--sampling", '{"greedy": true}')
    assert done.returncode == 2
    assert "greedy" in done.stderr and "Traceback" not in done.stderr


def test_neither_server_nor_url_is_told_in_one_line(step) -> None:
    done = step("respond", prompts(1)).run()
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "--url" in done.stderr


def test_several_answers_to_a_prompt_have_ids_seeds_and_temperatures_of_their_own(step) -> None:
    rows = [{**row, "set": "harmful"} for row in prompts(3)]
    asked = []

    def write(prompt: str, body: dict) -> str:
        asked.append((prompt, body["random_seed"], body["temperature"], body["greedy"]))
        return f" {body['random_seed']}"

    with NemoServer(write) as server:
        answer = step("answer", rows, server.url)
        few = answer.rows("--temperatures", 1, 0)
        more = answer.rows("--temperatures", 1, 0, 1)
    assert len(asked) == len(set(asked)) == 9  # what was there is not asked again
    assert [greedy for *_, greedy in asked[:6]] == [False] * 3 + [True] * 3
    assert {row["id"]: row["answer"] for row in few}.items() <= {
        row["id"]: row["answer"] for row in more
    }.items()
    assert len({row["id"] for row in more}) == 9
    by_prompt = [row for row in more if row["prompt_id"] == rows[0]["id"]]
    assert [row["temperature"] for row in by_prompt] == [1, 0, 1]
    assert len({row["answer"] for row in by_prompt}) == 3


def test_few_shot_dialogues_may_precede_the_first_response(step) -> None:
    words = ["hi", "yo", "criticise", "rude", "revise", "hello"]
    dialogue = [
        {"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(words)
    ]
    with NemoServer(hash_of) as server:
        respond = step("respond", prompts(1), server.url)
        respond.rows("--few-shot", json.dumps(dialogue))
        [asked] = server.prompts
    shown = "[INST] hi [/INST] yo [INST] criticise [/INST] rude [INST] revise [/INST] hello"
    assert asked.startswith(f"{shown} [INST] ")
