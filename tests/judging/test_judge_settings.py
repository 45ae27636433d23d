"""Which options go together; a judge that would mean nothing is refused in one line."""

import json

import pytest
from tests.messages import says

from cai.core.errors import UserError
from cai.settings.configuration import load_settings, parse_settings
from cai.settings.judges import ChatJudge, LogprobJudge, judge_option
from cai.settings.origins import merge

CHAT = {"kind": "chat", "url": "http://x/v1", "model": "m"}
FILES = ["config/config.yaml", "config/demo.yaml"]


@pytest.mark.parametrize(
    "judge",
    [
        {"kind": "logprob"},
        {"kind": "logprob", "constitution": "whole"},
        {"kind": "logprob", "principles_per_comparison": 16, "both_orders": False},
        {"kind": "logprob", "reasoning": {}, "samples": 5},
        {"kind": "logprob", "reasoning": {"temperature": 0, "clamp": 0}},
        {**CHAT, "orders": 2},
        {**CHAT, "url": "https://x/v1?api-version=1", "client": {"extra": {"a": [1, None]}}},
        {**CHAT, "client": {"system": "fold", "leave_out": ["temperature"]}},
        {**CHAT, "pairwise": {}},
        {**CHAT, "pairwise": {"constitution": "whole", "pairs": 3}, "orders": 2},
        {**CHAT, "pairwise": {"samples": 5}, "client": {"temperature": 0.7}},
        {**CHAT, "pairwise": {"logprobs": True, "principles_per_comparison": 4}},
        {**CHAT, "pairwise": {"logprobs": True, "reasoning": {}, "samples": 5}},
        {**CHAT, "pairwise": {"reasoning": {"max_tokens": 99}, "samples": 3}},
        {"kind": "random", "pairs": 2},
    ],
)
def test_what_goes_together_survives_the_command_line(judge) -> None:
    settings = judge_option(json.dumps(judge))
    assert judge_option(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("judge", "told"),
    [
        (
            {"kind": "logprob", "constitution": "whole", "principles_per_comparison": 2},
            "logprob: constitution 'whole' … principles_per_comparison must be 1, found 2",
        ),
        (
            {"kind": "logprob", "samples": 3},
            "logprob: samples must be 1 … reasoning … temperature … found 3",
        ),
        (
            {"kind": "logprob", "samples": 3, "reasoning": {"temperature": 0}},
            "logprob: samples must be 1 … reasoning … temperature",
        ),
        (
            {**CHAT, "pairwise": {"logprobs": True, "samples": 3}},
            "chat.pairwise: samples must be 1 … reasoning … temperature",
        ),
        (
            {**CHAT, "pairwise": {"samples": 3}},
            "chat: pairwise.samples is 3 … client.temperature 0",
        ),
        ({**CHAT, "constitution": "drawn"}, "chat.constitution: unknown field"),
        ({**CHAT, "samples": 3}, "chat.samples: unknown field"),
        ({**CHAT, "pairwise": {"answer_prefix": "("}}, "chat.pairwise.answer_prefix: unknown"),
        ({"kind": "random", "reasoning": {}}, "random.reasoning: unknown field"),
        ({"kind": "logprob", "reasoning": {"clamp": 0.5}}, "clamp: … less than 0.5"),
        *(
            ({**CHAT, "url": url}, "chat.url: … http")
            for url in (
                *("localhost:8000/v1", "ftp://x", "x/v1", "", "http://", "http:///v1"),
                *("http://x:99999/v1", "http://x y/v1", "http://[::1/v1", "https://x/v1#a"),
            )
        ),
        ({**CHAT, "client": {"extra": {"stream": True}}}, "stream … `extra`"),
        ({**CHAT, "client": {"system": "none"}}, "chat.client.system: "),
        (
            {"kind": "logprob", "reasoning": {"question": "{a} {b} {prompt}"}},
            "logprob.reasoning.question: … {principle}",
        ),
    ],
)
def test_what_means_nothing_is_refused(judge, told) -> None:
    with pytest.raises(UserError) as caught:
        judge_option(json.dumps(judge))
    assert says(str(caught.value), told)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "https://someone:hunter2@x/v1"}, "url"),
        *(
            ({"key_variable": key}, "key_variable")
            for key in (
                *("sk-hunter2", "nvapi-hunter2", "xai-hunter2", "hf_hunter2abcdefghijklm"),
                *("hf_hunter2qrstuvwxyzABCDEFGH", "gsk_hunter2x0123456789abcdefghij"),
                *("nvapi_hunter2abcdefgh", "sk_live_hunter2abcdefgh", "hunter2ABCDEFGHIJKLMNOPQR"),
            )
        ),
    ],
)
def test_what_may_be_a_secret_is_refused_and_not_shown(change, field) -> None:
    with pytest.raises(UserError) as caught:
        judge_option(json.dumps({**CHAT, **change}))
    assert field in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", "gsk_0123456789abcdefghij"]
)
def test_a_key_without_dashes_is_no_name_of_a_variable(key) -> None:
    with pytest.raises(UserError, match="key_variable must be the name") as caught:
        judge_option(json.dumps({**CHAT, "key_variable": key}))
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["NVIDIA_API_KEY", "hf_token", "HF_TOKEN_2", "sk_key_of_mine", "OpenAIKey2", "A", "_x_1"],
)
def test_names_of_variables_are_taken(name) -> None:
    assert judge_option(json.dumps({**CHAT, "key_variable": name})).key_variable == name


def test_the_configuration_refuses_it_too() -> None:
    demo = load_settings(FILES).model_dump(exclude_none=True)
    change = {"preferences": {"judges": {"logprob": {"samples": 2}}}}
    with pytest.raises(UserError, match=r"preferences\.judges\.logprob: samples must be 1"):
        parse_settings(merge(demo, change))


def test_each_option_is_a_line_of_configuration() -> None:
    demo = load_settings(FILES).model_dump(exclude_none=True)
    change = {"preferences": {"judges": {"logprob": {"reasoning": {}, "samples": 5}}}}
    judge = parse_settings(merge(demo, change)).judge
    assert isinstance(judge, LogprobJudge)
    assert (judge.samples, judge.reasoning.clamp) == (5, 0.4)


def test_the_configured_judges_are_those_of_the_paper_and_of_the_tutorial() -> None:
    mistral, demo = load_settings(FILES[:1]).judge, load_settings(FILES).judge
    assert isinstance(mistral, ChatJudge) and mistral.pairwise is None and mistral.orders == 1
    assert isinstance(demo, LogprobJudge) and demo.constitution == "drawn" and demo.both_orders
    assert demo.principles_per_comparison == 16 and demo.combine == "odds"
    assert demo.samples == 1 and demo.reasoning is None


def test_how_principles_combine_is_named_only_where_it_is_not_the_mean() -> None:
    """So that what was judged before there was a choice is not judged again."""
    assert "combine" not in LogprobJudge().model_dump()
    assert LogprobJudge(combine="odds").model_dump()["combine"] == "odds"
