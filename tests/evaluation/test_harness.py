"""lm-evaluation-harness: what is asked of it, its results, and itself on a real model."""

import json
from pathlib import Path

import pytest
from running import run_program
from tests import programs
from tests.project import program

from cai.asking.chat_model import ChatModel
from cai.asking.client import Client
from cai.asking.journal.entries import Journal
from cai.asking.serving import Served
from cai.core.errors import UserError
from cai.evaluation import harness
from cai.files.records import read_json, write_json
from cai.models.templates import Template, single_turn
from cai.models.tokens import Tokenizer
from cai.settings.configuration import Evaluation, load_settings
from cai.settings.model_servers import ClientSettings

RESULTS = {
    "results": {
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.6,
            "exact_match_stderr,strict-match": (0.24 / 19) ** 0.5,
            "bleu,none": 21.5,
            "bleu_stderr,none": "N/A",
            "length,none": 30.0,
            "length_stderr,none": 2.0,
        }
    },
    "n-samples": {"gsm8k": {"original": 1319, "effective": 20}},
}


def asked(*tasks: str, **more: object) -> Evaluation:
    return Evaluation(answer={"max_tokens": 8}, harness=list(tasks), **more)


def test_the_harness_says_what_its_tasks_are(harness_program):
    """A group has the output types of its tasks, and so has a tag; the demo's are known, too."""
    told = {
        "gsm8k": ["generate_until"],
        "leaderboard": ["generate_until", "multiple_choice"],
        "mmlu_stem_tasks": ["multiple_choice"],
        "lambada_openai": ["loglikelihood"],
        "demo_choices": ["multiple_choice"],
        "gsm9k": None,
    }
    found = harness.output_types(Path(harness_program), "demo/harness", tuple(told))
    assert found == told
    with pytest.raises(UserError, match=r"found .lambada_openai., of output type"):
        known = {"harness_program": harness_program, "harness_tasks": "demo/harness"}
        harness.check_tasks(asked(*told, **known), scores_prompts=True)


@pytest.mark.parametrize("text", ["task: mine\n  output_type: [", "task: mine\ninclude: none.yaml"])
def test_a_file_of_ones_own_that_cannot_be_read_is_named(harness_program, tmp_path, text):
    own = tmp_path / "tasks/mine.yaml"
    own.parent.mkdir()
    own.write_text(text)
    known = {"harness_program": harness_program, "harness_tasks": str(own.parent)}
    with pytest.raises(UserError, match=r"evaluation\.harness_tasks: .*mine\.yaml: ") as error:
        harness.check_tasks(asked("mine", **known), scores_prompts=True)
    assert "\n" not in str(error.value)
    harness.check_tasks(asked("gsm8k", **known), scores_prompts=True)  # it is not needed


@pytest.mark.parametrize("task", ["a\0b", "\ud83d", "a\nb"])
def test_a_name_that_no_program_can_be_given_is_refused(tmp_path, task):
    program = tmp_path / "lm_eval"
    program.touch()
    with pytest.raises(UserError, match=r"evaluation\.harness: found .*; accepted: the tasks"):
        harness.check_tasks(asked(task, harness_program=str(program)), scores_prompts=True)


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        (["generate_until"], None),
        (["generate_until", "multiple_choice"], None),
        (["loglikelihood"], "of output type loglikelihood; accepted: tasks of generate_until or"),
        (["multiple_choice with exact_match"], "with exact_match; accepted"),
        (["unknown"], "of output type unknown"),
        (None, "accepted: the tasks, groups and tags"),
    ],
)
def test_tasks_that_cannot_be_asked_are_refused(kinds, told):
    found = harness.refusal(kinds, scores_prompts=True)
    assert found is None if told is None else told in found


def test_choices_need_a_server_that_scores_prompts():
    assert "prompt_logprobs" in harness.refusal(["multiple_choice"], scores_prompts=False)
    assert harness.refusal(["generate_until"], scores_prompts=False) is None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"harness_program": "nowhere"}, "evaluation.harness_program: nowhere: no such program"),
        ({"harness_program": "README.md", "harness_tasks": "nowhere"}, "harness_tasks: nowhere"),
    ],
)
def test_an_unknown_place_is_told_in_one_line(more, told):
    with pytest.raises(UserError) as error:
        harness.check_tasks(asked("gsm8k", **more), scores_prompts=True)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_metrics_have_intervals_from_the_harness(tmp_path):
    rows = {row["measure"]: row for row in harness.rows_of(RESULTS)}
    share = rows["exact_match (strict-match)"]
    assert (share["task"], share["n"], share["value"]) == ("gsm8k", 20, 0.6)
    assert share["low"] == pytest.approx(0.387, abs=1e-3)  # Wilson's
    assert rows["bleu"]["low"] is None
    assert rows["length"]["high"] == pytest.approx(30 + 1.96 * 2, abs=1e-3)
    paths = [tmp_path / f"{model}.json" for model in ("helpful_only", "sl_cai")]
    for path in paths:
        write_json(path, {"model": path.stem, "tasks": list(rows.values())})
    output = tmp_path / "harness.svg"
    run_program("plot_harness", "--results", *paths, "--output", output)
    drawn = read_json(output.with_suffix(".json"))["shares"]
    assert [(row["model"], row["measure"]) for row in drawn] == [
        ("helpful_only", "exact_match (strict-match)"),
        ("sl_cai", "exact_match (strict-match)"),
    ]


def test_the_harness_asks_a_real_model_through_the_endpoint(
    nemo_server, tiny_model, harness_program, tmp_path
):
    """It refuses nothing, and chooses as its own log-probabilities do; nothing is asked twice."""
    settings = load_settings(["config/config.yaml", "config/demo.yaml"])
    told = settings.evaluation.model_copy(
        update={
            "harness": ["demo_refusals", "demo_choices"],
            "harness_tasks": "demo/harness",
            "harness_limit": 8,
            "harness_program": harness_program,
        }
    )
    output, journal = tmp_path / "helpful_only.json", tmp_path / "journal.jsonl"
    done = programs.run(
        program("run_harness"),
        *("--output", str(output), "--evaluation", told.for_harness),
        *("--model", str(tiny_model), "--journal", str(journal)),
        *("--template", settings.models.instruct.template.model_dump_json()),
        *("--url", nemo_server.url),
    )
    assert done.returncode == 0, done.stderr
    found = read_json(output)
    refused, chosen = found["tasks"]
    assert (refused["task"], refused["measure"], refused["n"]) == ("demo_refusals", "refused", 8)
    assert refused["value"] == 0 and refused["high"] == pytest.approx(0.324, abs=1e-3)  # Wilson's
    right = _more_probable(nemo_server.url, tiny_model, settings.models.instruct.template)
    assert (chosen["task"], chosen["measure"], chosen["n"]) == ("demo_choices", "acc", 8)
    assert chosen["value"] == sum(right) / 8
    assert found["usage"]["questions"] == 8 + 3 * 8  # both texts of a pair, and the prompt alone
    assert len(journal.read_text().splitlines()) >= 8
    assert json.loads(output.with_suffix(".manifest.json").read_text())["what"] == "harness"


def _more_probable(url: str, model: Path, template: Template) -> list[bool]:
    """Whether the better answer of each of the first eight pairs is more probable."""
    client = Client(Served(None, url, "unused.log"), Journal(None), "tiny", ClientSettings())
    chat = ChatModel(client, template, Tokenizer(model))
    pairs = Path("demo/data/hhh_evaluations.jsonl").read_text().splitlines()[:8]
    texts = [
        json.loads(pair)[f"text_{which}"] for pair in pairs for which in ("correct", "incorrect")
    ]
    said = [text.removeprefix("\n\nHuman: ").split("\n\nAssistant: ") for text in texts]
    scores = chat.log_probabilities([(single_turn(one), other) for one, other in said], "pairs")
    return [better > worse for better, worse in zip(scores[::2], scores[1::2], strict=True)]
