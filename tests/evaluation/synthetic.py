"""An evaluation of the tiny world by models whose behavior is set: the truth is known."""

import random
import shutil
from collections.abc import Mapping
from pathlib import Path

from demo import world

from cai.files.records import Ledger, read_jsonl, record_id, write_json, write_jsonl

# model: chance that it refuses a harmful request, refuses a benign one, ends its answer
BEHAVIOR = {
    "helpful_only": (0.01, 0.00, 1.00),
    "sl_cai": (0.55, 0.01, 0.99),
    "rl_cai": (0.97, 0.02, 0.97),
}


def write_evaluation(
    folder: Path,
    prompts: int = 300,
    truth: bool = True,
    lost: Mapping[str, float] | None = None,
) -> None:
    """Write prompts, and each model's answers, rewards, judged win rates and truth.

    Args:
        folder: of the evaluation.
        prompts: of each set.
        truth: whether a classifier is there.
        lost: by category of harm, the share of what RL-CAI would refuse that it helps with.
    """
    rows = _prompts(prompts)
    write_jsonl(folder / "prompts.jsonl", rows)
    for model in BEHAVIOR:
        answers = [_answer(row, model, (lost or {}) if model == "rl_cai" else {}) for row in rows]
        write_jsonl(folder / "answers" / f"{model}.jsonl", answers)
        write_jsonl(folder / "rewards" / f"{model}.jsonl", map(_reward, answers))
        if model != "helpful_only":
            write_jsonl(folder / "judged" / f"{model}.jsonl", map(_judged, answers))
        if truth:
            write_jsonl(folder / "truth" / f"{model}.jsonl", map(_truth, answers))


def _prompts(count: int) -> list[dict]:
    kinds = {"harmful": ("harm",), "helpful": ("twin", "how")}
    return [
        {"id": record_id(request.text), "prompt": request.text, "set": name}
        for name, wanted in kinds.items()
        for request in random.Random(name).sample(world.requests(("test",), wanted), count)
    ]


def _answer(row: dict, model: str, lost: Mapping[str, float]) -> dict:
    draw = random.Random(f"{model} {row['id']}")
    request = world.parse(row["prompt"])
    on_harm, on_benign, ends = BEHAVIOR[model]
    harmful = row["set"] == "harmful"
    on_harm *= 1 - lost.get(request.category, 0)
    if draw.random() < (on_harm if harmful else on_benign):
        refusal = world.refusal(request.category, request.person, request.thing) if harmful else ""
        text = refusal or world.EVASIONS[0]
    else:
        text = draw.choice(world.compliances(request))
    finish = "stop" if draw.random() < ends else "length"
    return {**row, "answer": text, "finish": finish}


def _truth(row: dict) -> dict:
    return {"id": row["id"], **world.score(row["prompt"], row["answer"], row["finish"] == "stop")}


def _reward(row: dict) -> dict:
    good = _truth(row)["harmless"] or _truth(row)["helpful"]
    noise = random.Random(f"reward {row['id']}").gauss(0, 0.5)
    return {"id": row["id"], "reward": (2.0 if good else -1.0) + noise}


def _judged(row: dict) -> dict:
    verdict = _truth(row)
    sure = 0.9 if verdict["harmless"] else 0.5
    return {"id": row["id"], "set": row["set"], "p_first": sure}


POLICIES = ("rl_cai", "dpo_cai")
KINDS = ("answers", "rewards", "judged", "truth")
GAP = {"rl_cai": 2.5, "dpo_cai": 4.0}  # nats by which each finds its answers likelier than SL-CAI


def write_policies(folder: Path) -> None:
    """Write what two policies did, of which the second answers as the first but for honesty."""
    write_evaluation(folder, prompts=200)
    write_evaluation(folder / "lost", prompts=200, lost={"honesty": 1.0})
    for kind in KINDS:
        shutil.copy(folder / f"lost/{kind}/rl_cai.jsonl", folder / f"{kind}/dpo_cai.jsonl")
    for policy, gap in GAP.items():
        ids = [row["id"] for row in read_jsonl(folder / f"answers/{policy}.jsonl")]
        for model, nearer in ((policy, gap), ("sl_cai", 0.0)):
            known = {"log_probability": nearer - 9.0, "tokens": 10}
            path = folder / f"{policy}.by_{model}.jsonl"
            write_jsonl(path, ({"id": name, **known} for name in ids))
    write_json(folder / "rl_cai.manifest.json", {"seconds": 3600.0, "gpu_hours": 16.0})
    write_json(folder / "scores.cost.json", [{"seconds": 90.0, "gpus": 8, "end": "ended"}])


def write_head_to_head(path: Path, against: Path, run: Path) -> Path:
    """Write how a judge that knows the truth holds a run's RL-CAI against another's."""
    verdicts = [
        {row["id"]: row for row in read_jsonl(folder / "evaluation/truth/rl_cai.jsonl")}
        for folder in (against, run)
    ]
    prompts = read_jsonl(run / "evaluation/prompts.jsonl")
    good = {"harmful": "harmless", "helpful": "helpful"}
    write_jsonl(
        path,
        (
            {"id": row["id"], "set": row["set"], "p_first": (1 + late - early) / 2}
            for row in prompts
            for early, late in [[bool(v[row["id"]][good[row["set"]]]) for v in verdicts]]
        ),
    )
    report = {"sets": {}, "judge": judge_report(600, agreement=0.9)}
    write_json(path.with_suffix(".report.json"), report)
    return path


def write_metrics(folder: Path, steps: int = 20) -> None:
    """Write curves of SFT, reward model and PPO, with the tags that NeMo-Aligner logs."""
    draw = random.Random(0)
    for name, tags in _curves(steps, draw).items():
        lines = [
            f"{tag},{step},{value},{1.7e9 + step}"
            for tag, points in sorted(tags.items())
            for step, value in points
        ]
        path = folder / f"{name}.metrics.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("tag,step,value,time\n" + "\n".join(lines) + "\n")


def _curves(steps: int, draw: random.Random) -> dict[str, dict[str, list[tuple[int, float]]]]:
    def curve(first: float, last: float, noise: float) -> list[tuple[int, float]]:
        slope = (last - first) / (steps - 1)
        return [(step, first + slope * step + draw.gauss(0, noise)) for step in range(steps)]

    return {
        "sl_cai": {"train/loss": curve(3, 0.4, 0.1), "val/loss": [(steps, 0.5)]},
        "reward_model": {
            "train/loss": curve(0.7, 0.2, 0.05),
            "train/acc": curve(0.5, 0.95, 0.03),
            "val/acc": [(steps // 2, 0.8), (steps, 0.9)],
            "val/loss": [(steps // 2, 0.5), (steps, 0.3)],
        },
        "rl_cai": {
            "train_rollouts/rewards": curve(-1, 2, 0.2),
            "train_rollouts/init_policy_kl": curve(0.001, 0.08, 0.005),
            "train_rollouts/generation_length": curve(22, 30, 1),
            "train_rollouts/fraction_of_samples_properly_ended": curve(0.99, 0.97, 0.005),
            "train_optim/scaled_entropy": [(step, 0.0) for step in range(steps)],
            "val_rollouts/rewards": [(steps, 2.1)],
        },
    }


def write_run(folder: Path) -> None:
    """Write ledgers, judge reports, chains and a manifest, as the workflow's programs do."""
    for shard in range(2):
        _write_ledger(folder / "sl_cai" / "revisions" / f"{shard}.jsonl", "revise")
        write_jsonl(folder / "sl_cai" / "revisions" / f"{shard}.jsonl", _chains(shard))
        report = folder / "rl_cai" / "preferences" / f"{shard}.report.json"
        write_json(report, judge_report(100 + 200 * shard, agreement=0.8 + 0.1 * shard))
    judged = {"sets": {}, "judge": judge_report(300, agreement=0.9)}
    write_json(folder / "evaluation" / "judged" / "rl_cai.report.json", judged)
    manifest = {"artefact": "rl_cai.nemo", "sha256": 32 * "ab", "size": 3750000, "seconds": 94.2}
    where = {"host": "node7", "process": 7, "started": "2026-03-04T09:50:00+0000", "gpus": 8}
    when = {"written": "2026-03-04T10:05:00+0000", "what": "rl_cai", "gpu_hours": 2.25}
    code = {"code": {"commit": "0123456789abcdef", "dirty": True}}
    write_json(folder / "rl_cai.manifest.json", {**manifest, **where, **when, **code})


def _write_ledger(path: Path, step: str) -> None:
    ledger = Ledger(step)
    ledger.count_in(100)
    ledger.drop("unfinished revision", record={"id": "x"})
    ledger.out = 99
    ledger.write(path)


def judge_report(judged: int, agreement: float, first: float = 0.52) -> dict:
    """A judge's report in the form of `cai.settings.judges.judge_report`."""
    return {
        "kind": "logprob",
        "comparisons": judged,
        "judged": judged,
        "failed": {},
        "failure_rate": 0.0,
        "ties": 3,
        "confidence": 0.4,
        "order_agreement": agreement,
        "first_preferred": first,
        "principles": {},
    }


def _chains(shard: int) -> list[dict]:
    draw = random.Random(shard)
    return [_chain(request) for request in draw.sample(world.requests(("cai",), ("harm",)), 20)]


def _chain(request: world.Request) -> dict:
    response = world.compliances(request)[0]
    revision = world.refusal(request.category, request.person, request.thing)
    rounds = [
        {
            "round": 1,
            "principle": request.category,
            "critique": world.problem(request),
            "revision": revision,
        }
    ]
    row = {"id": record_id(request.text), "prompt": request.text, "response": response}
    return {**row, "rounds": rounds, "revision": revision}
