"""Two processes train as one, started by hand as `srun` starts one on each of two nodes: the losses
and weights are those of one process, also if one begins a run and two end it, or the reverse."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from tests.messages import says
from tests.nemo_cpu.conftest import OPT, WRAPPER
from tests.nemo_cpu.test_server import LOOPBACK, PROGRAM, answers, listening_addresses

from cai.running.process import free_port
from cai.training.checkpoints import newest, settle
from cai.training.metrics import read_metrics

SFT = OPT / "NeMo-Aligner/examples/nlp/gpt/train_gpt_sft.py"
DPO = SFT.with_name("train_gpt_dpo.py")
# Settings of an optimiser that needs a GPU.
DISTRIBUTED_ADAM = ["bucket_cap_mb", "contiguous_grad_buffer"]
DISTRIBUTED_ADAM += ["overlap_grad_sync", "overlap_param_sync"]
STEPS = 6
PROMPT = "[INST] what is"
RUNS = list(itertools.product((1, 2), (1, 2)))  # who began, who ended

# As many records as a batch has: whoever draws them, in whichever order, every step has them all.
ANSWERS = ("cake", "kite", "bird", "song", "tent", "boat", "lamp", "coat")

WEIGHTS = """
import json, sys, tarfile, tempfile
import torch
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

def weights(archive):
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as members:
        members.extractall(folder, filter="data")
        dcp_to_torch_save(f"{folder}/model_weights", f"{folder}/all.pt")
        loaded = torch.load(f"{folder}/all.pt")
    return {name: each for name, each in loaded.items() if torch.is_tensor(each)}

first, *others = map(weights, sys.argv[1:])
assert len(first) >= 9 and all(other.keys() == first.keys() for other in others)
apart = [max(float((first[n].float() - o[n].float()).abs().max()) for n in first) for o in others]
print("apart", json.dumps(apart))
"""


def as_srun(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The variables of one of `ranks` processes, each on a node of its own."""
    return {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "test",
        "SLURM_NTASKS": str(ranks),
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": str(ranks),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": str(rank),
    }


@contextlib.contextmanager
def processes_of(command: list[object], ranks: int, name: Path) -> Iterator[list[subprocess.Popen]]:
    """The processes of a program, ended with the block; their logs are `name`.0.log and so on."""
    port, processes = free_port(), []
    words = [*map(str, command), f"trainer.num_nodes={ranks}"]
    try:
        for rank in range(ranks):
            with name.with_suffix(f".{rank}.log").open("w") as log:
                environment = as_srun(rank, ranks, port)
                processes.append(subprocess.Popen(words, env=environment, stdout=log, stderr=log))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run_to_the_end(command: list[object], ranks: int, folder: Path) -> None:
    """A training in `ranks` processes, in a run's folder."""
    with processes_of([*command, log_dir(folder)], ranks, folder) as processes:
        assert [process.wait(300) for process in processes] == [0] * ranks, logs(folder)


@pytest.fixture(scope="module")
def command(tiny_model, tmp_path_factory) -> list[object]:
    """Fine-tuning in six steps, with a checkpoint after three."""
    records = tmp_path_factory.mktemp("records") / "chats.jsonl"
    lines = []
    for answer in ANSWERS:
        turns = {"User": "What shall I take?", "Assistant": f"Take the {answer}."}
        said = [{"from": who, "value": text, "label": None} for who, text in turns.items()]
        lines.append(json.dumps({"system": "", "mask": "User", "conversations": said}) + "\n")
    records.write_text("".join(lines))
    sizes = [
        f"model.data.{part}.{field}"
        for part in ("train_ds", "validation_ds")
        for field in (
            f"file_path={records}",
            f"global_batch_size={len(ANSWERS)}",
            "micro_batch_size=1",
        )
    ]
    return [
        *(WRAPPER, SFT, *sizes, f"model.restore_from_path={tiny_model}", "model.data.chat=True"),
        *("trainer.accelerator=cpu", "trainer.devices=1", "trainer.precision=32"),
        *(f"trainer.sft.max_steps={STEPS}", f"trainer.sft.max_epochs={STEPS}"),
        *("trainer.sft.val_check_interval=3", "trainer.sft.limit_val_batches=1"),
        *("model.optim.name=adamw", "model.optim.lr=1e-3", "model.encoder_seq_length=64"),
        *("model.optim.sched.warmup_steps=2", "model.optim.sched.constant_steps=0"),
        *("model.data.chat_prompt_tokens.turn_start='<extra_id_1>'",),
        *("model.data.chat_prompt_tokens.system_turn_start='<extra_id_0>'",),
        *("model.data.chat_prompt_tokens.label_start='<extra_id_2>'",),
        # without it only one of the processes writes, as both hold the same
        "++model.dist_ckpt_parallel_save=True",
        "exp_manager.checkpoint_callback_params.save_nemo_on_train_end=True",
        "exp_manager.checkpoint_callback_params.save_top_k=1",
    ]


@pytest.fixture(scope="module")
def begun(command, tmp_path_factory) -> dict[int, tuple[Path, set[str]]]:
    """By the number of processes: the folder of a run that was killed after its checkpoint, and the
    addresses on which its processes listened."""
    killed = {}
    for ranks in (1, 2):
        folder = tmp_path_factory.mktemp(f"begun_by_{ranks}") / "run"
        with processes_of([*command, log_dir(folder)], ranks, folder) as processes:
            while newest(folder) is None:
                assert all(process.poll() is None for process in processes), logs(folder)
                time.sleep(0.02)
            listening = set().union(*(listening_addresses(each.pid) for each in processes))
        killed[ranks] = folder, listening
    return killed


@pytest.fixture(scope="module")
def ended(command, begun, tmp_path_factory) -> dict[tuple[int, int], Path]:
    """The folders of the runs, by the number of processes that began and that ended them."""
    folders = {}
    for first, then in RUNS:
        folder = tmp_path_factory.mktemp(f"from_{first}_to_{then}") / "run"
        shutil.copytree(begun[first][0], folder)
        settle(folder)
        run_to_the_end(command, then, folder)
        folders[first, then] = folder
    return folders


@pytest.fixture(scope="module")
def answer(ended, run) -> str:
    """What one process answers with the model that two have trained."""
    sampling = ["inference.greedy=True", "inference.tokens_to_generate=8"]
    penalty = "inference.repetition_penalty=1.0"
    done = run(*asking(ended[2, 2])[1:], *sampling, penalty, f"prompts=['{PROMPT}']")
    assert done.returncode == 0, done.stderr
    (sentence,) = json.loads(done.stdout[done.stdout.index("{\n") :])["sentences"]
    return sentence


def asking(folder: Path) -> list[object]:
    return [
        *(WRAPPER, PROGRAM, f"gpt_model_file={archive(folder)}"),
        *("trainer.accelerator=cpu", "trainer.precision=32"),
    ]


def test_fine_tuning_in_16_bits(command, tmp_path):
    """bf16-mixed: the products in 16 bits, the weights in 32, and those are what is written."""
    replaced = ("trainer.precision=", "trainer.sft.max_steps=", "trainer.sft.val_check_interval=")
    kept = [str(word) for word in command if not str(word).startswith(replaced)]
    shorter = ["trainer.sft.max_steps=2", "trainer.sft.val_check_interval=2"]
    folder = tmp_path / "run"
    done = subprocess.run(
        [*kept, "trainer.precision=bf16-mixed", *shorter, log_dir(folder)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert archive(folder).exists()


def test_the_losses_of_dpo_are_those_of_one_process(tiny_model, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    prompt = "<extra_id_0>System\n\n<extra_id_1>User\nWhat shall I take?\n<extra_id_1>Assistant\n"
    rows = [
        {
            "prompt": prompt,
            "chosen_response": f"Take the {answer}.\n<extra_id_1>",
            "rejected_response": f"No {answer}!\n<extra_id_1>",
            "chosen_reward": -0.1,
            "rejected_reward": -2.4,
        }
        for answer in ANSWERS
    ]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ",".join(f"{part}:[{pairs}]" for part in ("train", "validation", "test"))
    command = [
        *(WRAPPER, DPO, f"pretrained_checkpoint.restore_from_path={tiny_model}"),
        *("trainer.accelerator=cpu", "trainer.devices=1", "trainer.precision=32"),
        *("trainer.dpo.max_steps=3", "trainer.max_steps=3", "trainer.dpo.max_epochs=3"),
        *("trainer.dpo.val_check_interval=3", "trainer.dpo.save_interval=3"),
        *("model.optim.name=adamw", "model.optim.lr=1e-4", "model.optim.sched.warmup_steps=1"),
        *("model.optim.sched.constant_steps=0", "model.megatron_amp_O2=false"),
        *(f"~model.optim.{name}" for name in DISTRIBUTED_ADAM),
        *(f"model.global_batch_size={len(ANSWERS)}", "model.micro_batch_size=1"),
        *("model.dpo.preference_loss=rpo_bwd_kl", "model.dpo.ref_policy_kl_penalty=0.4"),
        *(
            "model.data.data_impl=jsonl",
            "model.data.seq_length=64",
            "++model.encoder_seq_length=64",
        ),
        *("++model.tensor_model_parallel_size=1", "++model.pipeline_model_parallel_size=1"),
        f"model.data.data_prefix={{{data}}}",
    ]
    found = []
    for ranks in (1, 2):
        folder = tmp_path / f"by_{ranks}" / "run"
        folder.parent.mkdir()
        run_to_the_end(command, ranks, folder)
        found.append(losses(folder))
    assert len(set(found[0])) == 3
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def log_dir(folder: Path) -> str:
    return f"exp_manager.explicit_log_dir={folder}"


def logs(folder: Path) -> str:
    """The ends of the logs beside a run's folder."""
    return "\n".join(log.read_text()[-2000:] for log in folder.parent.glob("*.log"))


def archive(folder: Path) -> Path:
    return folder / "checkpoints/megatron_gpt_sft.nemo"


def losses(folder: Path) -> list[float]:
    metrics = read_metrics(folder)
    return metrics[metrics.tag == "train/loss"].value.to_list()


def test_every_process_writes_its_part_of_a_checkpoint(begun):
    for ranks, (folder, _) in begun.items():
        parts = {path.name[:4] for path in newest(folder).glob("*.distcp")}
        assert parts == {f"__{rank}_" for rank in range(ranks)}


def test_processes_meet_on_loopback_only(begun):
    assert begun[2][1] == {LOOPBACK}


@pytest.mark.parametrize("run", RUNS[1:])
def test_losses_are_those_of_one_process(ended, run):
    expected = losses(ended[1, 1])
    assert len(expected) == STEPS and expected[-1] < expected[0]
    assert losses(ended[run]) == pytest.approx(expected, rel=1e-5)


def test_weights_are_those_of_one_process(ended, nemo_python):
    archives = [archive(ended[run]) for run in RUNS]
    done = subprocess.run([WRAPPER, "-c", WEIGHTS, *archives], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    apart = json.loads(done.stdout.rpartition("apart ")[2])
    assert len(apart) == 3 and max(apart) < 1e-4


def test_one_process_answers_with_a_model_that_two_trained(answer):
    assert answer.startswith(PROMPT) and len(answer) > len(PROMPT)


def test_two_processes_serve_a_model_that_is_split_between_them(ended, answer, tmp_path):
    port = free_port()
    server = [*asking(ended[2, 2]), "server=True", f"port={port}", "tensor_model_parallel_size=2"]
    request = {"sentences": [PROMPT], "tokens_to_generate": 8, "greedy": True, "add_BOS": True}
    with processes_of(server, 2, tmp_path / "server") as processes:
        while not answers(address := f"http://127.0.0.1:{port}"):
            assert all(process.poll() is None for process in processes), logs(tmp_path / "server")
            time.sleep(0.2)
        reply = requests.put(f"{address}/generate", json=request, timeout=60)
    assert reply.json()["sentences"] == [answer]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["trainer.devices=2"],
            "trainer.devices=2 trainer.num_nodes=2: must be 1 and 2 … srun … 2 processes",
        ),
        (
            ["model.data.train_ds.micro_batch_size=8"],
            "model.data.train_ds.global_batch_size=8: must be a multiple of 16 … "
            "model.data.train_ds.micro_batch_size=8 … 2 processes",
        ),
        (
            ["model.pipeline_model_parallel_size=2"],
            "pipeline_model_parallel_size=2: … must be 1",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused_in_one_line(command, overrides, message):
    words = [*map(str, command), "trainer.num_nodes=2", *overrides]
    done = subprocess.run(words, env=as_srun(1, 2, 1), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert says(done.stderr.splitlines()[-1], f"error: {message}")
    assert "Traceback" not in done.stderr
