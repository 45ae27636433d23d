import json

import pytest
from running import complaint, run_program

from cai.files.records import read_json, read_jsonl, record_id, write_jsonl
from cai.models.templates import Template, single_turn
from cai.settings.configuration import load_settings

CHAT: Template = load_settings(["config/config.yaml", "config/demo.yaml"]).models.base.template
HELPFUL = "demo/data/helpful_test.jsonl"


def source(path) -> str:
    return json.dumps({"source": str(path)})


def red_team(folder, prompts):
    path = folder / "red_team.jsonl"
    write_jsonl(path, [{"id": record_id(text), "prompt": text} for text in prompts])
    return path


@pytest.fixture
def harmful(tmp_path):
    return red_team(tmp_path, [f"Tell me how to take the {n}th hat." for n in range(20)])


def build(harmful, output, *arguments):
    run_program(
        *("build_evaluation_prompts", "--red-team", harmful, "--output", output, *arguments)
    )
    return list(read_jsonl(output))


def test_both_sets_are_there_each_prompt_once_with_its_id(harmful, tmp_path):
    rows = build(harmful, tmp_path / "prompts.jsonl", "--helpful", source(HELPFUL))
    assert [row["set"] for row in rows] == sorted(row["set"] for row in rows)
    assert {row["prompt"] for row in rows if row["set"] == "helpful"} == {
        row["prompt"] for row in read_jsonl(HELPFUL)
    }
    assert all(row["id"] == record_id(row["prompt"]) for row in rows)
    ledger = read_json(tmp_path / "prompts.ledger.json")
    assert ledger["in"] == ledger["out"] == len(rows)


def test_a_smaller_limit_gives_a_part_of_a_larger_ones_prompts(harmful, tmp_path):
    ids = {}
    for limit in (5, 10):
        arguments = ("--helpful", source(HELPFUL), "--limit", limit)
        rows = build(harmful, tmp_path / f"{limit}.jsonl", *arguments)
        assert [row["set"] for row in rows] == ["harmful"] * limit + ["helpful"] * limit
        ids[limit] = {row["id"] for row in rows}
    assert ids[5] < ids[10]


def test_the_choice_does_not_depend_on_the_order_of_the_file(harmful, tmp_path):
    rows = list(read_jsonl(harmful))
    write_jsonl(tmp_path / "reversed.jsonl", rows[::-1])
    arguments = ("--helpful", source(HELPFUL), "--limit", 7)
    one = build(harmful, tmp_path / "one.jsonl", *arguments)
    other = build(tmp_path / "reversed.jsonl", tmp_path / "other.jsonl", *arguments)
    assert one == other
    assert one != build(harmful, tmp_path / "seed.jsonl", *arguments, "--seed", 2)


def test_test_prompts_of_the_preferences_give_their_single_turns(harmful, tmp_path):
    turn = single_turn("How do I knit a scarf?")
    longer = [*turn, {"role": "assistant", "content": "Row by row."}, *single_turn("And a hat?")]
    texts = [CHAT.prompt(turn), CHAT.prompt(longer), CHAT.prompt(turn)]
    write_jsonl(tmp_path / "test.prompts.jsonl", [{"id": "x", "text": text} for text in texts])
    rows = build(
        *(harmful, tmp_path / "prompts.jsonl"),
        *("--helpful-prompts", tmp_path / "test.prompts.jsonl"),
        *("--template", CHAT.model_dump_json()),
    )
    assert [r["prompt"] for r in rows if r["set"] == "helpful"] == ["How do I knit a scarf?"]
    dropped = read_json(tmp_path / "prompts.ledger.json")["dropped"]
    assert dropped == {"more than one turn": 1, "duplicate prompt": 1}


def test_dialogues_give_their_first_human_turn(harmful, tmp_path):
    write_jsonl(
        tmp_path / "helpful.jsonl",
        [{"chosen": "\n\nHuman: Bake bread?\n\nAssistant: Yes.\n\nHuman: How?\n\nAssistant: So."}],
    )
    rows = build(
        harmful, tmp_path / "prompts.jsonl", "--helpful", source(tmp_path / "helpful.jsonl")
    )
    assert [row["prompt"] for row in rows if row["set"] == "helpful"] == ["Bake bread?"]


def test_a_prompt_of_both_sets_is_harmful_and_unusable_ones_are_kept_in_the_ledger(
    harmful, tmp_path
):
    texts = ["Tell me how to  take the 3th hat.", " ", *(f"Hat {n}?" for n in range(60))]
    write_jsonl(tmp_path / "helpful.jsonl", [{"prompt": text} for text in texts])
    rows = build(
        harmful, tmp_path / "prompts.jsonl", "--helpful", source(tmp_path / "helpful.jsonl")
    )
    assert len(rows) == 80
    ledger = read_json(tmp_path / "prompts.ledger.json")
    assert ledger["dropped"] == {"empty prompt": 1, "in the harmful set too": 1}
    assert [row["where"].endswith(("l:1", "l:2")) for row in ledger["rejected"]] == [True, True]


def test_a_set_without_prompts_is_an_error(tmp_path):
    empty = red_team(tmp_path, [])
    arguments = ("--red-team", empty, "--helpful", source(HELPFUL), "--output", tmp_path / "x")
    assert "no harmful prompt is left" in complaint("build_evaluation_prompts", *arguments)


def test_preferences_need_their_template(harmful, tmp_path):
    arguments = ("--red-team", harmful, "--helpful-prompts", harmful, "--output", tmp_path / "x")
    assert "--template" in complaint("build_evaluation_prompts", *arguments)
