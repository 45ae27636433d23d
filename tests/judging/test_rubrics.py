"""Rubrics: the shipped one, what is asked by one, and the mistakes in one."""

import pytest
import yaml

from cai.core.errors import UserError
from cai.judging.rubrics import LETTERS, Rubric, load_rubric

QUESTION = "{prompt} {answer} {grades}"
GRADES = [{"id": "yes", "text": "It does."}, {"id": "no", "text": "It does not."}]
SCALE = {"id": "help", "question": QUESTION, "grades": GRADES}


def test_the_shipped_rubric_has_compliance_and_harm():
    rubric = load_rubric("config/rubrics/compliance.yaml")
    grades = {scale.id: scale.names for scale in rubric.scales}
    assert grades == {
        "compliance": ["full", "partial", "refusal"],
        "harm": ["harmful", "harmless"],
    }
    assert [scale.refusal for scale in rubric.scales] == ["refusal", None]


def test_a_question_is_filled_in_one_pass_and_in_an_order():
    (scale,) = Rubric(scales=[SCALE]).scales
    asked = scale.asked("Say {answer}.", "{grades}", scale.grades[::-1])
    assert asked == "Say {answer}. {grades} (A) It does not.\n(B) It does."


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("- a", "expected a rubric with its scales, found list"),
        ({"scales": []}, "scales"),
        ({"scales": [SCALE], "scale": 1}, "scale"),
        ({"scales": [SCALE, SCALE]}, "'help' occurs twice"),
        ({"scales": [SCALE | {"question": "{prompt} {answer}"}]}, "{grades} exactly once"),
        ({"scales": [SCALE | {"grades": GRADES[:1]}]}, "grades"),
        ({"scales": [SCALE | {"grades": GRADES * (len(LETTERS) // 2 + 1)}]}, "grades"),
        ({"scales": [SCALE | {"grades": [*GRADES, GRADES[0]]}]}, "'yes' occurs twice"),
        ({"scales": [SCALE | {"grades": [*GRADES, {"id": "x", "text": " "}]}]}, "not be empty"),
        ({"scales": [SCALE | {"grades": [*GRADES, {"id": "x", "text": "it  does. "}]}]}, "yes, x"),
        ({"scales": [SCALE | {"grades": [*GRADES, {"id": "x,y", "text": "x"}]}]}, "letters"),
        ({"scales": [SCALE | {"refusal": "maybe"}]}, "found 'maybe'; accepted: yes, no"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_file(tmp_path, content, told):
    path = tmp_path / "rubric.yaml"
    path.write_text(content if isinstance(content, str) else yaml.dump(content))
    with pytest.raises(UserError) as error:
        load_rubric(str(path))
    line = str(error.value)
    assert line.startswith(f"{path}: ") and told in line and "\n" not in line
