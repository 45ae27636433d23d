import csv
import re
import xml.etree.ElementTree as ElementTree

import pytest
from running import MODELS, complaint, run_program
from tests.messages import says

from cai.figures.drawing import draw_evaluation, running_mean
from cai.files.records import read_json, write_json

SVG = "{http://www.w3.org/2000/svg}"
PPO = ["Reward", "KL from SL-CAI (nats per token)", "Answer length (tokens)", "Answers that ended"]


def texts(path):
    """All words that an SVG shows."""
    return ["".join(t.itertext()).strip() for t in ElementTree.parse(path).iter(f"{SVG}text")]


def table(path):
    with open(path) as stream:
        return list(csv.DictReader(stream))


def draw(name, *arguments):
    run_program(name, *arguments)
    return arguments[-1]


@pytest.fixture
def metrics(tmp_path, finished):
    """The metrics file of PPO, for a test to spoil."""
    path = tmp_path / "rl_cai.metrics.csv"
    path.write_text((finished / "rl_cai.metrics.csv").read_text())
    return path


def test_ppo_curves_hold_every_point_of_their_metrics(finished):
    drawn = table(finished / "ppo_curves.csv")
    assert list(dict.fromkeys(row["panel"] for row in drawn)) == PPO
    source = table(finished / "rl_cai.metrics.csv")
    for tag in {row["tag"] for row in drawn}:
        points = [(int(r["step"]), float(r["value"])) for r in drawn if r["tag"] == tag]
        assert points == sorted(
            (int(r["step"]), float(r["value"])) for r in source if r["tag"] == tag
        )


def test_the_svg_shows_every_panel_and_names_its_curves(finished):
    shown = texts(finished / "ppo_curves.svg")
    assert [text.removesuffix(" (%)") for text in shown if text.removesuffix(" (%)") in PPO] == PPO
    assert {"rollouts", "validation", "step"} <= set(shown)


def test_what_is_all_zero_or_missing_is_no_panel(metrics):
    output = draw("plot_training", "--ppo", metrics, "--output", metrics.with_name("ppo.svg"))
    assert "Entropy bonus" not in texts(output)
    text = metrics.read_text().replace("scaled_entropy,3,0.0", "scaled_entropy,3,0.5")
    metrics.write_text(text + "train_rollouts/values_mean,1,0.25,0\n")
    assert {"Entropy bonus", "Value and return"} <= set(texts(draw_again(metrics)))


def draw_again(metrics):
    return draw("plot_training", "--ppo", metrics, "--output", metrics.with_name("again.svg"))


def test_sft_and_reward_model_stand_in_one_figure(finished, tmp_path):
    output = tmp_path / "training_curves.svg"
    run_program(
        *("plot_training", "--sft", finished / "sl_cai.metrics.csv"),
        *("--reward-model", finished / "reward_model.metrics.csv", "--output", output),
    )
    panels = ["SFT: loss", "Reward model: loss", "Reward model: accuracy"]
    rows = table(output.with_suffix(".csv"))
    assert list(dict.fromkeys(row["panel"] for row in rows)) == panels
    accuracy = [row for row in rows if row["tag"] == "val/acc"]
    assert [(row["series"], row["step"], row["value"]) for row in accuracy] == [
        ("validation", "10", "0.8"),
        ("validation", "20", "0.9"),
    ]
    assert "Reward model: accuracy (%)" in texts(output)


def test_the_evaluation_shows_each_measure_of_each_stage(finished):
    summary = read_json(finished / "evaluation/summary.json")
    rows = table(finished / "harmlessness.csv")
    assert {row["model"] for row in rows} == set(MODELS)
    by_name = {metric["name"]: metric for metric in summary["metrics"]}
    for row in rows:
        estimate = by_name[row["metric"]]["estimates"][row["model"]]
        assert [float(row[f]) for f in ("value", "low", "high")] == [
            estimate[f] for f in ("value", "low", "high")
        ]
    shown = texts(finished / "harmlessness.svg")
    assert {"Helpful-only", "SL-CAI", "RL-CAI", "Harmless", "Over-refusal"} <= set(shown)
    assert sum("privacy" in text for text in shown) == 1
    assert "Looping answers" not in shown


def test_panels_stand_at_round_places(tmp_path, finished):
    """The last bit of a place depends on addresses in memory, and the SVG's ids on that bit."""
    drawing = draw_evaluation(read_json(finished / "evaluation/summary.json"))
    drawing.write(tmp_path / "harmlessness.svg")
    places = [bound for axes in drawing.figure.axes for bound in axes.get_position().bounds]
    assert len(places) >= 8 and places == pytest.approx([round(p, 6) for p in places], abs=1e-15)


def test_bars_are_drawn_where_the_numbers_are(finished):
    """The middle of an interval bar, in the figure's own units, is linear in the value."""
    text = (finished / "harmlessness.svg").read_text()
    bars = re.findall(r'<path d="M ([\d.]+) [\d.]+ \nL ([\d.]+) [\d.]+ \n" clip-path', text)
    widths = sorted(float(end) - float(start) for start, end in bars if start != end)
    rows = table(finished / "harmlessness.csv")
    shares = [row for row in rows if not row["metric"].startswith("reward")]
    expected = sorted(float(row["high"]) - float(row["low"]) for row in shares)
    scale = widths[-1] / expected[-1]
    assert all(any(abs(w - scale * e) < 0.02 for w in widths) for e in expected if e > 0)


def test_without_a_classifier_win_rates_and_rewards_are_drawn(finished, tmp_path):
    summary = read_json(finished / "evaluation/summary.json")
    known = ("win_rate_harmful", "reward_harmful", "words")
    summary["metrics"] = [metric for metric in summary["metrics"] if metric["name"] in known]
    write_json(tmp_path / "summary.json", summary)
    output = draw(
        *("plot_evaluation", "--summary", tmp_path / "summary.json"),
        *("--output", tmp_path / "figure.svg"),
    )
    assert {row["metric"] for row in table(output.with_suffix(".csv"))} == set(known[:2])
    summary["metrics"] = [metric for metric in summary["metrics"] if metric["name"] == "words"]
    write_json(tmp_path / "summary.json", summary)
    arguments = ("--summary", tmp_path / "summary.json", "--output", tmp_path / "none.svg")
    assert "nothing to draw" in complaint("plot_evaluation", *arguments)


def test_a_figure_depends_on_its_numbers_alone(metrics):
    def content(name):
        output = metrics.with_name(name) / "ppo_curves.svg"
        draw("plot_training", "--ppo", metrics, "--output", output)
        return [output.with_suffix(kind).read_bytes() for kind in (".svg", ".png", ".csv")]

    assert content("one") == content("two")
    assert b"Date" not in content("one")[0] and b"<dc:date" not in content("one")[0]


def test_a_screen_reader_is_told_what_is_drawn(finished):
    for name in ("harmlessness", "ppo_curves"):
        root = ElementTree.parse(finished / f"{name}.svg").getroot()
        assert root.get("role") == "img"
        assert root.findtext(f"{SVG}title")
        assert re.search(r"[\d.]+%?[.;]", root.findtext(f"{SVG}desc"))
        assert "A figure" not in root.findtext(f"{SVG}title")


def test_text_is_legible_at_400_pixels(finished):
    for name in ("harmlessness", "ppo_curves"):
        text = (finished / f"{name}.svg").read_text()
        width = float(re.search(r'viewBox="0 0 ([\d.]+)', text).group(1))
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", text)]
        assert min(sizes) * 400 / width >= 11


def test_a_long_curve_is_drawn_with_its_running_mean(metrics):
    assert running_mean([4.0, 2.0, 6.0, 1.0], 2) == [4.0, 3.0, 4.0, 3.5]

    def lines(steps):
        tags = {line.split(",")[0] for line in metrics.read_text().splitlines()[1:]}
        rows = [f"{tag},{step},0.5,0" for tag in tags if "val" not in tag for step in range(steps)]
        metrics.write_text("\n".join(["tag,step,value,time", *rows]))
        return draw_again(metrics).read_text().count("stroke-opacity: 0.3")

    assert lines(39) == 0
    assert lines(40) >= len(PPO)


def drop(tag):
    def spoil(text):
        return "".join(line for line in text.splitlines(True) if not line.startswith(tag))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (drop("train_rollouts/init_policy_kl"), "train_rollouts/init_policy_kl"),
        (lambda text: text.splitlines()[0], "holds no metrics"),
        (lambda text: "", "tag, step and value … found none"),
        (lambda text: text.replace(",3,", ",x,"), "number … found "),
        (
            lambda text: text.replace("tag,step", "name,step"),
            "tag, step and value",
        ),
    ],
)
def test_bad_metrics_are_told_in_one_line(metrics, spoil, told):
    metrics.write_text(spoil(metrics.read_text()))
    output = metrics.with_name("x.svg")
    error = complaint("plot_training", "--ppo", metrics, "--output", output)
    assert error.startswith(f"{metrics}:") and says(error, told)
    assert not output.exists()


def test_a_figure_must_be_svg_and_of_something(metrics):
    arguments = ("--ppo", metrics, "--output", metrics.with_suffix(".pdf"))
    assert says(complaint("plot_training", *arguments), ".svg … found '.pdf'")
    assert says(complaint("plot_training", "--output", "x.svg"), "at least one")
