"""The entry points take the overrides of the programs that they stand for, and no others."""

import json
import os
import runpy
from pathlib import Path

import pytest
from tests.messages import says
from tests.nemo_cpu.conftest import OPT, ROOT

keys_of = runpy.run_path(str(ROOT / "envs/nemo-cpu/list_keys.py"))["keys_of"]
UPSTREAM = json.loads((ROOT / "envs/nemo-cpu/keys.json").read_text("utf-8"))
OURS = keys_of(OPT / "NeMo", OPT / "NeMo-Aligner")
GPT = "NeMo-Aligner/examples/nlp/gpt"
PROGRAMS = [
    f"{GPT}/train_gpt_sft.py",
    f"{GPT}/train_reward_model.py",
    f"{GPT}/serve_ppo_critic.py",
    f"{GPT}/train_gpt_ppo_actor.py",
    f"{GPT}/train_gpt_dpo.py",
    f"{GPT}/serve_reward_model.py",
    "NeMo/examples/nlp/language_modeling/megatron_gpt_eval.py",
]
ON_CPU = ["trainer.accelerator=cpu", "trainer.devices=1", "trainer.num_nodes=1"]


@pytest.mark.parametrize("configuration", sorted(UPSTREAM))
def test_keys_and_defaults_are_upstreams(configuration):
    assert OURS[configuration] == UPSTREAM[configuration]


def test_the_list_of_keys_is_the_checkouts():
    roots = [os.environ.get(name) for name in ("CAI_NEMO_ROOT", "CAI_ALIGNER_ROOT")]
    if not all(roots):
        pytest.skip("CAI_NEMO_ROOT and CAI_ALIGNER_ROOT name no checkouts")
    assert keys_of(*map(Path, roots)) == UPSTREAM


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_override_is_refused(run, program):
    done = run(OPT / program, *ON_CPU, "trainer.no_such_key=1")
    assert done.returncode == 1
    assert "Could not override 'trainer.no_such_key'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("program", "overrides", "message"),
    [
        (PROGRAMS[0], [], "trainer.accelerator=gpu: … must be cpu"),
        (
            PROGRAMS[1],
            [*ON_CPU, "trainer.num_nodes=2"],
            "trainer.num_nodes=2: … must be 1",
        ),
        (
            PROGRAMS[1],
            [
                *ON_CPU,
                "model.reward_model_type=regression",
                "model.regression.loss_func=regular_bt",
                "model.micro_batch_size=4",
            ],
            "model.micro_batch_size=4: must be 2 with model.regression.loss_func=regular_bt",
        ),
        (
            PROGRAMS[3],
            [*ON_CPU, "trainer.ppo.trt_llm.enable=True"],
            "trainer.ppo.trt_llm.enable=True: … must be False",
        ),
        (
            PROGRAMS[4],
            [*ON_CPU, "model.micro_batch_size=3"],
            "model.global_batch_size=64: … multiple of 3",
        ),
        (
            PROGRAMS[4],
            [*ON_CPU, "model.data.data_impl=packed_jsonl"],
            "model.data.data_impl=packed_jsonl: … jsonl",
        ),
        (PROGRAMS[6], ON_CPU, "gpt_model_file: … .nemo"),
        (PROGRAMS[6], [*ON_CPU, "chat=True"], "chat=True: … must be False"),
    ],
)
def test_what_a_cpu_cannot_do_is_refused_in_one_line(run, program, overrides, message):
    done = run(OPT / program, *overrides)
    assert done.returncode == 1
    assert says(done.stderr.splitlines()[-1], f"error: {message}")
    assert "Traceback" not in done.stderr


def test_a_missing_environment_is_named(run, tmp_path):
    done = run("-V", env={**os.environ, "CAI_NEMO_CPU_ENV": str(tmp_path / "nowhere")})
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "nowhere" in line and "make nemo-cpu" in line


def test_the_wrapper_runs_from_any_folder_and_keeps_the_callers_path(run, tmp_path):
    path = {**os.environ, "PYTHONPATH": "/some/folder", "OMP_NUM_THREADS": "1"}
    code = "import os, sys; print(sys.path[1:3], os.environ['OMP_NUM_THREADS'])"
    done = run("-c", code, cwd=tmp_path, env=path)
    assert done.stdout.strip() == f"{[str(ROOT / 'envs/nemo-cpu/patches'), '/some/folder']} 1"
