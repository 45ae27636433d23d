"""What is generated again after an edit, and what is not: by the records that a server is asked."""

import json
from collections import Counter
from collections.abc import Callable

import pytest
import requests as http
from answering_servers import JsonServer, NemoServer, hash_of
from demo import world
from step_programs import PRINCIPLES, ROOT, preferences, principle_options, prompts, responses

from cai.asking.run import OTHERWISE
from cai.files.records import read_jsonl, record_id
from cai.settings.constitution import draw_principle, for_stage, load_constitution

pytestmark = pytest.mark.slow  # programs of the project, dozens of times

JUDGE = ["--judge", '{"kind": "logprob"}']
NO_SERVER = ["--", "false", "port=FREE_PORT"]
SAMPLING = '{"max_tokens": 44}'
NOT_IN_A_KEY = ("sentences", "random_seed")


class Sharded:
    """A step whose shards write to journals of one stage, as the rules name them."""

    def __init__(self, step, *options: object) -> None:
        self.step, self.options = step, options

    def rows(self, shards: int, *options: object) -> list[dict]:
        """The rows of all shards, by id."""
        rows = []
        for shard in range(shards):
            self.step.journal = self.step.folder / f"{self.step.program}-{shard}.jsonl"
            rows += self.step.rows("--shard", f"{shard}/{shards}", *self.options, *options)
        return sorted(rows, key=lambda row: row["id"])


@pytest.fixture
def revised(step):
    """A server, and 40 responses revised with it in two rounds and three shards."""
    with NemoServer(hash_of) as server:
        sharded = Sharded(
            step("revise", responses(40), server.url), "--rounds", 2, *principle_options(PRINCIPLES)
        )
        rows = sharded.rows(3)
        assert len(server.prompts) == 4 * 40
        server.bodies.clear()
        yield server, sharded, rows


def drawn(principles: dict, rounds: int = 2) -> dict[str, list[str]]:
    """The principles of each record's rounds."""
    names = list(principles)
    return {
        row["id"]: [draw_principle(1, row["id"], n + 1, names) for n in range(rounds)]
        for row in responses(40)
    }


@pytest.mark.parametrize("shards", [1, 2, 5, 12])
def test_another_number_of_shards_asks_nothing_and_starts_no_server(revised, shards) -> None:
    server, sharded, rows = revised
    sharded.step.url = None
    assert sharded.rows(shards, *NO_SERVER) == rows
    assert not server.bodies


def test_shards_that_came_and_went_leave_nothing_to_ask(revised) -> None:
    server, sharded, rows = revised
    for shards in (7, 2, 3):
        assert sharded.rows(shards) == rows
    assert not server.bodies


@pytest.mark.parametrize(
    "client", [{"batch_size": 1}, {"batch_size": 7, "in_flight": 1}, {"timeout": 9, "retries": 1}]
)
def test_other_batches_ask_nothing(revised, client) -> None:
    server, sharded, rows = revised
    assert sharded.rows(3, "--client", json.dumps(client)) == rows
    assert not server.bodies


def test_the_order_of_records_and_principles_is_no_matter(revised) -> None:
    server, sharded, rows = revised
    text = sharded.step.input.read_text().splitlines(keepends=True)
    sharded.step.input.write_text("".join(reversed(text)))
    reverse = dict(reversed(PRINCIPLES.items()))
    assert sharded.rows(3, *principle_options(reverse)) == rows
    assert not server.bodies


def test_added_prompts_alone_are_asked_and_removed_ones_cost_nothing(step) -> None:
    with NemoServer(hash_of) as server:
        respond = step("respond", prompts(30), server.url)
        before = respond.rows()
        server.bodies.clear()
        assert step("respond", prompts(20), server.url).rows() == before[:20]
        assert not server.bodies
        after = step("respond", prompts(34), server.url).rows()
        assert after[:30] == before
        assert len(server.prompts) == 4


@pytest.mark.parametrize("text", ["critique", "revision"])
def test_an_edited_text_asks_for_what_drew_it_and_what_follows(revised, text) -> None:
    server, sharded, rows = revised
    edited = {**PRINCIPLES, "kindness": {**PRINCIPLES["kindness"], text: "Think of kindness."}}
    after = sharded.rows(2, *principle_options(edited))
    first = 2 if text == "critique" else 1  # what an edit of the text changes in its round
    expected = 0
    for names in drawn(PRINCIPLES).values():
        if names[0] == "kindness":
            expected += first + 2
        elif names[1] == "kindness":
            expected += first
    assert len(server.prompts) == expected > 0
    same = [old["id"] for old, new in zip(rows, after, strict=True) if old == new]
    assert same == sorted(
        name for name, names in drawn(PRINCIPLES).items() if "kindness" not in names
    )


@pytest.mark.parametrize("change", ["added", "removed"])
def test_an_added_or_removed_principle_moves_only_what_draws_another(revised, change) -> None:
    server, sharded, _ = revised
    added = {"id": "calm", "critique": "Criticise calm.", "revision": "Revise for calm."}
    less = {name: texts for name, texts in PRINCIPLES.items() if name != "privacy"}
    changed = {**PRINCIPLES, "calm": added} if change == "added" else less
    sharded.rows(3, *principle_options(changed))
    before, after = drawn(PRINCIPLES), drawn(changed)
    expected = 0
    for name, old in before.items():
        new = after[name]
        expected += 4 if old[0] != new[0] else 2 * (old[1] != new[1])
    assert len(server.prompts) == expected
    moved = sum(old[0] != after[name][0] for name, old in before.items())
    share = 1 / max(len(PRINCIPLES), len(changed))
    assert 0 < moved / len(before) < 2 * share  # about 1/N


def test_an_edited_preference_judges_again_what_drew_it(step) -> None:
    def choose(prompt: str, body: dict) -> str:
        return " (A)</s>"

    records = [
        {**row, "candidates": [{"text": "Yes."}, {"text": f"No, {row['id']}."}]}
        for row in prompts(40)
    ]
    with NemoServer(choose) as server:
        judge = Sharded(step("judge_candidates", records, server.url), *JUDGE)
        rows = judge.rows(2, *principle_options(preferences()))
        assert len(server.prompts) == 2 * 40
        server.bodies.clear()
        assert judge.rows(3, *principle_options(preferences())) == rows
        assert not server.bodies
        edited = preferences() | {"privacy": {"id": "privacy", "preference": "Who tells less?"}}
        after = judge.rows(3, *principle_options(edited))
    drew = [row for row in rows if row["principle"] == "privacy"]
    assert len(server.prompts) == 2 * len(drew) > 0
    assert all("Who tells less?" in prompt for prompt in server.prompts)
    assert [row["principle"] for row in after] == [row["principle"] for row in rows]


def test_another_models_content_asks_again_and_its_name_does_not(revised) -> None:
    server, sharded, rows = revised
    renamed = sharded.step.model.with_name("renamed.nemo")
    sharded.step.model = sharded.step.model.rename(renamed)
    assert sharded.rows(3) == rows
    assert not server.bodies
    renamed.write_text("other weights")
    sharded.rows(3)
    assert len(server.prompts) == 4 * 40


def test_an_edited_principle_on_nemos_server(step, nemo_server) -> None:
    """The real server, behind one that counts: which records are asked about, and how often."""
    asked: Counter[tuple[str, str]] = Counter()

    def forward(body: dict) -> dict:
        parameters = json.dumps({key: body[key] for key in body if key not in NOT_IN_A_KEY})
        asked.update((prompt, parameters) for prompt in body["sentences"])
        return http.put(f"{nemo_server.url}/generate", json=body, timeout=120).json()

    texts = [request.text for request in world.requests(("cai",), ("harm",))[::25]]
    rows = [{"id": record_id(text), "prompt": text, "response": "Sure!"} for text in texts]
    published = for_stage(load_constitution(ROOT / "demo/constitution.yaml"), "supervised")
    principles = {texts["id"]: dict(texts) for texts in published}
    assert len(principles) == 5
    edited_name, other = list(principles)[:2]
    edited = {**principles[edited_name], "critique": principles[other]["critique"]}
    options = ["--rounds", 2, "--keep-unfinished"]
    options += ["--critique-sampling", SAMPLING, "--revision-sampling", SAMPLING]
    with JsonServer(forward) as server:
        revise = Sharded(step("revise", rows, server.url), *options)
        before = revise.rows(3, *principle_options(principles))
        first, once = len(before), dict(asked)
        asked.clear()
        after = revise.rows(2, *principle_options(principles | {edited_name: edited}))
    drew = {row["id"] for row in before if edited_name in [r["principle"] for r in row["rounds"]]}
    assert first == len(rows) == len(after)
    assert 0.2 * first < len(drew) < 0.8 * first
    records = {row["id"] for row in rows for prompt, _ in asked if row["prompt"] in prompt}
    assert records == drew
    assert {*asked.values(), *once.values()} == {1} and not asked.keys() & once.keys()
    untouched = [[row for row in rows if row["id"] not in drew] for rows in (before, after)]
    assert untouched[0] == untouched[1]


@pytest.mark.parametrize(
    ("words", "now"),
    [
        (["trainer.precision=32", "megatron_amp_O2=False"], "megatron_amp_O2=False"),
        (["++trainer.precision=bf16-mixed"], "nemo trainer.precision=bf16-mixed"),
        (["trainer.devices=1"], None),
    ],
)
def test_answers_that_were_given_at_another_precision_are_reused_and_it_is_said(
    revised, words, now
) -> None:
    """In one line of the log, and in the ledger: they are not what this server would answer."""
    server, sharded, rows = revised
    step = sharded.step
    step.url = None
    step.journal = step.folder / "revise-0.jsonl"
    command = [*sharded.options, *NO_SERVER, *words]
    done = step.run(*command)
    assert done.returncode == 0, done.stderr
    assert list(read_jsonl(step.output)) == sorted(rows, key=order_of(read_jsonl(step.input)))
    said = [line for line in done.stdout.splitlines() if "precision gave" in line]
    if now is None:
        assert said == [] and OTHERWISE not in step.ledger.get("notes", {})
    else:
        [line] = said
        assert "160 by nemo; now: " in line and now in line and str(step.journal) in line
        assert step.ledger["notes"][OTHERWISE]["reused"] == {"nemo": 160}
    assert not server.bodies


def order_of(rows) -> Callable[[dict], int]:
    places = [row["id"] for row in rows]
    return lambda row: places.index(row["id"])
