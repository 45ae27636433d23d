"""Critiques and revisions: what is asked, what is asked again, what is dropped."""

import json
import signal
import subprocess
import time

from answering_servers import NemoServer, hash_of
from step_programs import INSTRUCT, PRINCIPLES, ROOT, principle_options, responses

from cai.files.records import read_jsonl
from cai.models.sampling import Sampling
from cai.settings.constitution import draw_principle
from cai.steps.critique import Revising, conversation

FEW_SHOT = [
    [
        {"role": ("user", "assistant")[i % 2], "content": text}
        for i, text in enumerate(["hi", "yo", "criticise", "rude", "revise", "hello"])
    ]
]


def revising(**changes: object) -> Revising:
    how = Revising(PRINCIPLES, [], 2, Sampling(), Sampling(), 1)
    return how._replace(**changes)


def row(rounds: int = 1) -> dict:
    done = [
        {"round": n + 1, "principle": "honesty", "critique": f"c{n}", "revision": f"r{n}"}
        for n in range(rounds - 1)
    ]
    current = {"round": rounds, "principle": "kindness", "critique": "It is rude."}
    return {"id": "1", "prompt": "Why?", "response": "Go away.", "rounds": [*done, current]}


def test_texts_are_those_that_the_instruct_model_was_trained_on() -> None:
    critique = INSTRUCT.prompt(conversation(row(), "critique", revising()))
    revision = INSTRUCT.prompt(conversation(row(), "revision", revising()))
    assert critique == "[INST] Why? [/INST] Go away. [INST] Criticise kindness. [/INST]"
    assert revision == f"{critique} It is rude. [INST] Revise for kindness. [/INST]"


def test_a_later_round_starts_from_the_last_revision() -> None:
    text = INSTRUCT.prompt(conversation(row(3), "critique", revising()))
    assert text == "[INST] Why? [/INST] r1 [INST] Criticise kindness. [/INST]"


def test_few_shot_dialogues_precede_whole() -> None:
    text = INSTRUCT.prompt(conversation(row(), "critique", revising(few_shot=FEW_SHOT)))
    assert text.startswith(
        "[INST] hi [/INST] yo [INST] criticise [/INST] rude [INST] revise [/INST] hello [INST] Why?"
    )


def test_a_direct_revision_is_asked_without_a_critique() -> None:
    text = INSTRUCT.prompt(conversation(row(), "revision", revising(direct=True)))
    assert text == "[INST] Why? [/INST] Go away. [INST] Revise for kindness. [/INST]"


def test_rounds_are_recorded_with_what_was_drawn(step) -> None:
    with NemoServer(hash_of) as server:
        rows = step("revise", responses(40), server.url).rows(
            "--rounds", 3, *principle_options(PRINCIPLES)
        )
    assert len(rows) == 40
    for row in rows:
        drawn = [draw_principle(1, row["id"], n, list(PRINCIPLES)) for n in (1, 2, 3)]
        assert [r["principle"] for r in row["rounds"]] == drawn
        assert row["revision"] == row["rounds"][-1]["revision"]
        assert all(r["critique"] and r["revision"] for r in row["rounds"])


def test_editing_a_principle_asks_only_for_what_drew_it(step) -> None:
    with NemoServer(hash_of) as server:
        revise = step("revise", responses(60), server.url)
        before = {
            row["id"]: row for row in revise.rows("--rounds", 2, *principle_options(PRINCIPLES))
        }
        edited = {
            **PRINCIPLES,
            "privacy": {**PRINCIPLES["privacy"], "critique": "Think of privacy."},
        }
        server.bodies.clear()
        after = {row["id"]: row for row in revise.rows("--rounds", 2, *principle_options(edited))}

    drew = [[r["principle"] == "privacy" for r in row["rounds"]] for row in before.values()]
    # privacy in round 1 asks two rounds of critique and revision again, in round 2 only that one
    assert len(server.prompts) == sum(4 if first else 2 * second for first, second in drew)
    assert 0 < len(server.prompts) < 2 * len(before)
    for old, new in zip(before.values(), after.values(), strict=True):
        touched = any(r["principle"] == "privacy" for r in old["rounds"])
        assert (old == new) != touched


def test_nothing_is_asked_twice_and_no_server_is_needed_for_it(step) -> None:
    options = principle_options(PRINCIPLES)
    with NemoServer(hash_of) as server:
        revise = step("revise", responses(10), server.url)
        first = revise.rows(*options)
    revise.url = None
    assert revise.rows(*options, "--", "false", "port=FREE_PORT") == first


def test_a_killed_run_goes_on_where_it_was(step, tmp_path) -> None:
    options = [*principle_options(PRINCIPLES), "--client", '{"batch_size": 4, "in_flight": 1}']
    with NemoServer(hash_of) as server:
        whole = step("revise", responses(40), server.url).rows(*options)
    with NemoServer(hash_of, delay=0.05) as server:
        revise = step("revise", responses(40), server.url)
        revise.journal = tmp_path / "killed.journal"
        revise.output.unlink()
        running = subprocess.Popen(revise.command(*options), cwd=ROOT, stderr=subprocess.DEVNULL)
        while len(server.bodies) < 6:
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert not revise.output.exists()
        known = sum(1 for _ in read_jsonl(revise.journal))
        assert known >= 16
        server.bodies.clear()
        assert revise.rows(*options) == whole
    assert len(server.prompts) == 80 - known


def test_an_unfinished_revision_is_dropped_and_kept_in_the_ledger(step) -> None:
    def write(prompt: str, body: dict) -> str:
        cut = prompt.endswith("Revise for privacy. [/INST]")
        return " I would" if cut else " Fine.</s>"

    with NemoServer(write) as server:
        revise = step("revise", responses(40), server.url)
        rows = revise.rows(*principle_options(PRINCIPLES))
        ledger = revise.ledger
        kept = revise.rows(*principle_options(PRINCIPLES), "--keep-unfinished")
    drew = [draw_principle(1, row["id"], 1, list(PRINCIPLES)) for row in responses(40)]
    assert len(rows) == 40 - drew.count("privacy")
    assert ledger["dropped"] == {"unfinished revision": drew.count("privacy")}
    assert ledger["rejected"][0]["record"]["answer"] == "I would"
    assert len(kept) == 40


def test_empty_revisions_are_dropped_and_unfinished_critiques_counted(step) -> None:
    def write(prompt: str, body: dict) -> str:
        if prompt.endswith("Revise for privacy. [/INST]"):
            return " </s>"
        return " Fine</s>" if "Revise" in prompt else " It is"

    with NemoServer(write) as server:
        revise = step("revise", responses(40), server.url)
        rows = revise.rows(*principle_options(PRINCIPLES))
    assert set(revise.ledger["dropped"]) == {"empty revision"}
    assert revise.ledger["notes"]["unfinished critiques"] == 40
    assert {row["rounds"][0]["critique"] for row in rows} == {"It is"}


def test_what_is_over_the_context_is_never_sent(step) -> None:
    tokenizer = ROOT / "demo/models/instruct/tokenizer.model"
    rows = responses(10)
    rows[3]["response"] = "Far too long. " * 100
    limits = ["--tokenizer", tokenizer, "--context", 200]
    sampling = [
        "--critique-sampling",
        '{"max_tokens": 40}',
        "--revision-sampling",
        '{"max_tokens": 40}',
    ]
    with NemoServer(hash_of) as server:
        revise = step("revise", rows, server.url)
        assert len(revise.rows(*principle_options(PRINCIPLES), *limits, *sampling)) == 9
    assert not any("Far too long" in prompt for prompt in server.prompts)
    [reason] = revise.ledger["dropped"]
    assert "200 tokens" in reason
    assert revise.ledger["rejected"][0]["record"]["id"] == rows[3]["id"]


def test_too_many_failures_end_the_run_in_one_line(step) -> None:
    with NemoServer(lambda prompt, body: " and so on") as server:
        revise = step("revise", responses(8), server.url)
        done = revise.run(*principle_options(PRINCIPLES))
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "8 of 8" in line and "unfinished revision" in line and "and so on" in line
    assert not revise.output.exists()
    assert revise.ledger["dropped"] == {"unfinished revision": 8}


def test_a_constitution_file_and_its_principles_say_the_same(step) -> None:
    with NemoServer(hash_of) as server:
        revise = step("revise", responses(6), server.url)
        first = revise.rows("--principles", "demo/constitution.yaml")
    from cai.settings.constitution import for_stage, load_constitution

    texts = for_stage(load_constitution("demo/constitution.yaml"), "supervised")
    assert revise.rows("--principles", *map(json.dumps, texts)) == first
