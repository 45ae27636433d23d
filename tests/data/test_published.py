"""Published constitutions and few-shot dialogues, and the ones that we ship."""

import json

import pytest
from tests.data.samples import error_line, program
from tests.messages import says

from cai.files.documents import read_yaml
from cai.settings.constitution import load_constitution, load_few_shot
from cai.settings.published import read_comparison_principles, read_critique_instructions

CRITIQUES = {
    "harmful0": {
        "prompt": ["\n\nCritiqueRequest: What is wrong with it?\n\nCritique:"],
        "edit_request": "\n\nRevisionRequest: Mend it.\n\nRevision:",
    },
    "harmful1": {"prompt": "Is it kind?", "edit_request": "Make it kind.\nQuite kind."},
}
TURNS = ["Why?", "So.", "What is wrong?", "It is rude.", "Rewrite it.", "Because it rained."]
SAMPLES = {
    "samples": [
        [
            {"role": ("User", "Assistant")[number % 2], "content": text}
            for number, text in enumerate(TURNS)
        ]
    ]
}


def written(folder, name, content):
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_the_published_files_are_read(tmp_path):
    result = program(
        *("import_constitution", "--critiques", written(tmp_path, "sl.json", CRITIQUES)),
        *("--comparisons", written(tmp_path, "rl.json", ["Choose the kinder.", "Or the wiser."])),
        *("--constitution", tmp_path / "c.yaml", "--few-shot", tmp_path / "f.yaml"),
        *("--samples", written(tmp_path, "few.json", SAMPLES)),
    )
    assert result.returncode == 0, result.stderr
    principles = {principle.id: principle for principle in load_constitution(tmp_path / "c.yaml")}
    assert list(principles) == ["harmful0", "harmful1", "comparison0", "comparison1"]
    assert principles["harmful0"].critique == "What is wrong with it?"
    assert principles["harmful0"].revision == "Mend it."
    assert principles["harmful1"].revision == "Make it kind.\nQuite kind."
    assert principles["comparison1"].preference == "Or the wiser."
    dialogue = load_few_shot(tmp_path / "f.yaml")[0]
    assert [turn["content"] for turn in dialogue] == TURNS
    assert dialogue[0]["role"] == "user"


def test_the_word_before_the_options_is_cut_off(tmp_path):
    texts = ["\nPlease choose the kinder one. Options:", "Weigh the Options: which is wiser?"]
    path = written(tmp_path, "rl.json", texts)
    output = tmp_path / "c.yaml"
    assert (
        program("import_constitution", "--comparisons", path, "--constitution", output).returncode
        == 0
    )
    found = [row["preference"] for row in read_yaml(output)["principles"]]
    assert found == ["Please choose the kinder one.", "Weigh the Options: which is wiser?"]


@pytest.mark.parametrize(
    "end",
    ["\nOPTIONS:", "\nOptions", "\nOptions:\n(A)\n(B)", " Options:", "\n\noptions:\n(A) x\n(B) y"],
)
def test_however_the_options_are_written_they_are_cut_off(tmp_path, end):
    (found,) = read_comparison_principles(written(tmp_path, "rl.json", [f"Which is kinder?{end}"]))
    assert found.preference == "Which is kinder?"
    kept = ["Which is kinder, of all options", "Weigh the options:"]
    found = read_comparison_principles(written(tmp_path, "rl.json", kept))
    assert [principle.preference for principle in found] == kept


@pytest.mark.parametrize("before", ["CritiqueRequest", "Critique request", "**Critique Request**"])
def test_however_the_marks_of_a_request_are_written_they_are_cut_off(tmp_path, before):
    asked = before.replace("Critique", "Revision")
    entry = {
        "prompt": [f"\n\n{before}: What is wrong?\n\ncritique:"],
        "edit_request": f"{asked}: Mend the critique.\n\nRevision :",
    }
    (found,) = read_critique_instructions(written(tmp_path, "sl.json", {"a": entry}))
    assert (found.critique, found.revision) == ("What is wrong?", "Mend the critique.")


def few_shot_transcript(*before):
    names = ("Human", "Assistant", "CritiqueRequest", "Critique", "RevisionRequest", "Revision")
    said = [*zip(("Human", "Assistant"), before, strict=True)] if before else []
    said += zip(names, TURNS, strict=True)
    return "".join(f"\n\n{name}: {text}" for name, text in said) + "\n\nHuman:"


@pytest.mark.parametrize("form", [list, lambda texts: dict(enumerate(texts))])
def test_few_shot_dialogues_may_be_plain_transcripts(tmp_path, form):
    texts = [few_shot_transcript("Hm?", "Yes?"), few_shot_transcript().replace("\n", "\r\n")]
    path = written(tmp_path, "few.json", form(texts))
    output = tmp_path / "f.yaml"
    result = program("import_constitution", "--samples", path, "--few-shot", output)
    assert result.returncode == 0, result.stderr
    found = [[turn["content"] for turn in dialogue] for dialogue in load_few_shot(output)]
    assert found == [["Hm?", "Yes?", *TURNS], TURNS]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (["Once upon a time"], "samples[1]: … 'Human:'"),
        (["\n\nHuman: a\n\nAssistant: b"], "samples[1]: … 6 turns"),
        ({"samples": 1}, "found int"),
        ([3], "samples[1]: … 6 turns"),
    ],
)
def test_few_shot_dialogues_of_another_form_are_refused(tmp_path, content, complaint):
    path = written(tmp_path, "few.json", content)
    result = program("import_constitution", "--samples", path, "--few-shot", tmp_path / "f.yaml")
    assert says(error_line(result), complaint)


def test_a_name_twice_in_a_published_file_is_refused(tmp_path):
    path = tmp_path / "sl.json"
    text = json.dumps(CRITIQUES, indent=1).replace("harmful1", "harmful0")
    path.write_text(text)
    line = text[: text.rindex("harmful0")].count("\n") + 1
    result = program(
        "import_constitution", "--critiques", path, "--constitution", tmp_path / "c.yaml"
    )
    assert f"{path}:{line}: " in (told := error_line(result)) and "occurs twice" in told


@pytest.mark.parametrize(
    ("option", "content", "complaint"),
    [
        ("--critiques", ["text"], "object … found list"),
        ("--critiques", {"harmful0": {"prompt": ["x"]}}, "harmful0: … field"),
        ("--critiques", {"a": {"prompt": [""], "edit_request": "x"}}, "a: critique: … empty"),
        ("--critiques", {"a": {"prompt": [1], "edit_request": "x"}}, "a.prompt: … text"),
        ("--comparisons", {"a": "text"}, "list … found dict"),
        ("--comparisons", [1], "[0]: preference"),
        ("--comparisons", [""], "[0]: preference: … empty"),
    ],
)
def test_another_form_is_refused_with_its_place(tmp_path, option, content, complaint):
    path = written(tmp_path, "in.json", content)
    output = tmp_path / "c.yaml"
    line = error_line(program("import_constitution", option, path, "--constitution", output))
    assert str(path) in line and says(line, complaint)
    assert not output.exists()


def test_placeholders_are_not_taken_for_dialogues(tmp_path):
    samples = json.loads(json.dumps(SAMPLES))
    samples["samples"][0][3]["content"] = "critique response"
    path = written(tmp_path, "few.json", samples)
    result = program("import_constitution", "--samples", path, "--few-shot", tmp_path / "f.yaml")
    assert says(error_line(result), "samples[1][4].content: … real text")


def test_what_we_ship_is_whole():
    principles = load_constitution("config/constitution.yaml")
    assert len(principles) == 16
    assert all(p.critique and p.revision and p.preference for p in principles)
    texts = [getattr(p, f) for p in principles for f in ("critique", "revision", "preference")]
    assert len(set(texts)) == 48
    dialogues = load_few_shot("config/few_shot.yaml")
    requests = {(p.critique, p.revision) for p in principles}
    assert len(dialogues) == 3
    assert all((d[2]["content"], d[4]["content"]) in requests for d in dialogues)
