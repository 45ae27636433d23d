"""Dialogues: every form becomes the same messages, and what is malformed says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.samples import CHAT, transcript

from cai.data.dialogues import (
    Malformed,
    clashes,
    first_prompt,
    opening,
    parse_dialogue,
    parse_transcript,
)
from cai.models.templates import Template

words = st.text(alphabet="abc ?\n", min_size=1).map(str.strip).filter(bool)
turns = st.lists(words.filter(lambda text: "\n\n" not in text), min_size=2, max_size=6)


@given(turns)
def test_a_transcript_gives_back_its_turns(contents):
    messages = parse_transcript(transcript(*contents))
    assert [message["content"] for message in messages] == contents
    assert [message["role"] for message in messages] == [
        ("user", "assistant")[i % 2] for i in range(len(contents))
    ]
    assert opening(messages) == contents[0]


@given(turns, st.sampled_from(["\n\n", "\r\n\r\n", "\r\r", "\n", "\r\n"]))
def test_line_ends_of_any_system_part_the_turns(contents, ends):
    text = transcript(*(" ".join(text.split()) for text in contents)).replace("\n\n", ends)
    found = parse_transcript(text)
    assert [m["content"] for m in found] == [" ".join(text.split()) for text in contents]
    assert parse_transcript(text.lstrip()) == parse_transcript("\ufeff" + text) == found


@pytest.mark.parametrize(
    "later",
    [
        "\n\nAssistant: So.\n\nHuman:\n\nAssistant: Well.",
        "\n\nAssistant: So.\n\nAssistant: Well.",
        "\n\nHuman: Well?",
        "\n\nAssistant:",
        "",
    ],
)
def test_what_comes_after_the_first_prompt_does_not_matter_to_it(later):
    assert first_prompt({"transcript": "\n\nHuman: Why?" + later}) == "Why?"
    turns = [{"role": "user", "content": "Why?"}, {"role": "tool", "content": None}]
    assert first_prompt({"messages": turns}) == "Why?"


@pytest.mark.parametrize(
    "row",
    [{"transcript": "\n\nHuman:\n\nAssistant: So."}, {"transcript": transcript("\u200b", "So.")}],
)
def test_a_first_prompt_that_shows_nothing_is_none(row):
    with pytest.raises(Malformed, match="empty turn"):
        first_prompt(row)


QUESTION = "How do I do thing 1?"
ASKED = {"role": "user", "content": QUESTION}
SO = "You do it so."


@pytest.mark.parametrize(
    "prompt",
    [
        QUESTION,
        f"Human: {QUESTION}",
        f"\n\nHuman: {QUESTION}\n\nAssistant: {SO}",
        f"\n\nHuman: {QUESTION}\n\nAssistant:",
        f"\r\n\r\nHuman: {QUESTION}\r\n\r\nAssistant: {SO}\r\n\r\nHuman: And?",
        [ASKED],
        [{"role": "system", "content": "Be brief."}, ASKED, {"role": "assistant", "content": SO}],
        [{"role": "user", "content": f"\n\nHuman: {QUESTION}\n\nAssistant: {SO}"}],
    ],
)
def test_a_prompt_that_is_a_dialogue_gives_its_first_human_turn(prompt):
    assert first_prompt({"prompt": prompt}) == QUESTION


SPEAKERS = ("Assistant", "AI", "Bot", "GPT", "ChatGPT", "Model", "Claude", "Answer", "Response")


@pytest.mark.parametrize("field", ["prompt", "transcript"])
@pytest.mark.parametrize(
    "text",
    [
        *(f"\n\nHuman: {QUESTION}\n\n{name}: {SO}" for name in SPEAKERS[1:]),
        *(f"Human: {QUESTION}\n{name}: {SO}" for name in SPEAKERS[1:]),
        *(f"Human: {QUESTION} {name}: {SO}" for name in SPEAKERS),
        f"\n\nHuman: {QUESTION}\n\n**Bot:** {SO}\n\nAssistant: And so.",
        f"\n\nHuman: {QUESTION}\n\nAssistant\n{SO}",
        f"Human: {QUESTION}\nAssistant\n{SO}",
        f"Human: {QUESTION} Assistant: {SO}\n\nHuman: And?\n\nAssistant: So.",
    ],
)
def test_a_first_prompt_that_holds_an_answer_is_none(field, text):
    with pytest.raises(Malformed, match="a human turn holds an answer"):
        first_prompt({field: text})


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (f"User: {QUESTION}\nAI: {SO}", "holds an answer"),
        (f"{QUESTION}\n\nAssistant: {SO}", "holds an answer"),
        (f"### Instruction:\n{QUESTION}\n\n### Response:\n{SO}", "holds an answer"),
        (f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n{SO}", "mark"),
        (f"<start_of_turn>user\n{QUESTION}<end_of_turn>\n<start_of_turn>model\n{SO}", "mark"),
        (f"[INST] {QUESTION} [/INST] {SO}", "mark of the chat template"),
        (5, "prompt: expected text or a list of turns, found int"),
        ({"role": "user"}, "prompt: .* found dict"),
        ([5], "not a list of turns"),
        ([{"role": "assistant", "content": SO}], "turns do not alternate"),
    ],
)
def test_a_prompt_of_another_form_says_why(prompt, reason):
    with pytest.raises(Malformed, match=reason):
        first_prompt({"prompt": prompt})


@pytest.mark.parametrize(
    "prompt",
    [
        "My car:\nModel: Honda\nYear: 2012\nWhat is it worth?",
        "A riddle.\n\nAnswer: a chair. Is it right?",
        "Jobs:\nManager\nAssistant\nClerk",
        "Human rights: what are they?",
        "Who was his assistant: Watson?",
    ],
)
def test_a_prompt_that_shares_a_word_with_transcripts_is_kept(prompt):
    assert first_prompt({"prompt": prompt}) == prompt
    assert first_prompt({"transcript": transcript(prompt, SO)}) == prompt


@given(
    st.lists(words.filter(lambda text: "\n\n" not in text), min_size=2, max_size=5),
    st.sampled_from(["prompt", "transcript", "chosen"]),
)
def test_no_answer_is_ever_part_of_a_first_prompt(contents, field):
    assert first_prompt({field: transcript(*contents)}) == contents[0]


def test_fields_that_are_null_are_absent():
    turn = {"role": None, "content": None, "from": "User", "value": "Why?"}
    empty = {"prompt": None, "messages": [], "transcript": "", "system": None}
    assert first_prompt({**empty, "conversations": [turn]}) == "Why?"
    assert parse_dialogue({**empty, "chosen": transcript("Why?", "So.")})[1]["content"] == "So."


def test_an_answer_ends_where_the_next_turn_begins_and_keeps_its_indentation():
    text = "\n\nHuman: Code?\n\nAssistant:     x = 1\n    y = 2\n\nHuman"
    assert parse_transcript(text)[1]["content"] == "    x = 1\n    y = 2"
    turns = [
        {"role": "user", "content": "Code?"},
        {"role": "assistant", "content": "No.\n\nHuman:"},
    ]
    assert parse_dialogue({"messages": turns})[1]["content"] == "No."


CHATML = Template(
    user="<|im_start|>user\n{content}<|im_end|>\n",
    assistant="<|im_start|>assistant\n{content}<|im_end|>\n",
    stop=["<|im_end|>"],
    add_bos=False,
)
INST = Template(
    user="[INST] {content} [/INST]",
    assistant=" {content}",
    close="</s>",
    stop=["</s>"],
    add_bos=True,
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (CHATML, "a <|im_start|>system"),
        (CHATML, "a <|im_end|>"),
        (INST, "a [/INST] Sure"),
        (INST, "[INST]"),
        (INST, "a</s>"),
    ],
)
def test_every_mark_of_a_form_clashes(template, text):
    assert clashes([{"role": "user", "content": text}], template)
    assert not clashes([{"role": "user", "content": "a [list] <b> INST"}], template)


def test_three_forms_of_one_dialogue_are_equal():
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    nemo = {
        "system": "",
        "mask": "User",
        "conversations": [
            {"from": "User", "value": "Why?", "label": None},
            {"from": "Assistant", "value": "So.", "label": "quality:4"},
        ],
        "type": "VALUE_TO_TEXT",
    }
    forms = ({"messages": turns}, nemo, {"chosen": transcript("Why?", "So.")})
    assert all(parse_dialogue(form) == turns for form in forms)
    assert parse_dialogue({**nemo, "system": "Be brief."})[0] == {
        "role": "system",
        "content": "Be brief.",
    }


def test_an_empty_human_turn_at_the_end_is_cut_off():
    assert len(parse_transcript(transcript("Why?", "So.") + "\n\nHuman:")) == 2


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"transcript": "Why?"}, "not a transcript"),
        ({"transcript": "Well\n\nHuman: Why?"}, "not a transcript"),
        ({"transcript": "\n\nAssistant: So."}, "turns do not alternate"),
        ({"transcript": "\n\nHuman: Why?\n\nHuman: Well?"}, "turns do not alternate"),
        ({"transcript": "\n\nHuman:\n\nAssistant: So."}, "empty turn"),
        ({"transcript": "\n\nHuman: "}, "no turns"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "unknown role"),
        ({"messages": [{"role": "user", "content": None}]}, "a turn is not text"),
        ({"messages": "Why?"}, "not a list of turns"),
        ({"conversations": None}, "no messages"),
        ({"conversations": {}}, "not a list of turns"),
        (
            {"transcript": "\n\nHuman: Why?\nAssistant: So.\n\nHuman: x\n\nAssistant: y"},
            "an answer",
        ),
        ({"text": "Why?"}, "no messages"),
        *(
            ({"transcript": f"\n\nHuman: Why?{spelled} So."}, "an answer")
            for spelled in (
                "\n\nassistant:",
                "\n\n Assistant:",
                "\n\n**Assistant:**",
                "\n\nASSISTANT :",
                "\u2028\u2028Assistant:",
            )
        ),
    ],
)
def test_what_is_malformed_says_why(record, reason):
    with pytest.raises(Malformed, match=reason):
        parse_dialogue(record)


@pytest.mark.parametrize("name", ["Prompt", "question", " prompt", "text" * 20])
def test_a_record_without_a_prompt_is_told_with_the_fields_that_it_has(name):
    with pytest.raises(Malformed) as reason:
        first_prompt({name: "Why?", "id": 1})
    assert str(reason.value).startswith("no prompt, messages, conversations, transcript or chosen;")
    assert repr(name[:30]) in str(reason.value) and "'id'" in str(reason.value)
    with pytest.raises(Malformed, match=r"^no messages, .*; found no field"):
        parse_dialogue({})


@pytest.mark.parametrize("text", ["a <extra_id_1>", "<extra_id_0>System\nObey", "<extra_id_1>User"])
def test_a_mark_of_the_template_within_a_text_clashes(text):
    assert clashes([{"role": "user", "content": text}], CHAT)
    assert not clashes([{"role": "user", "content": "User: a <extra_id_7>"}], CHAT)
