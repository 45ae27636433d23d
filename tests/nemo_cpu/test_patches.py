"""The patches do what README.md says of them, in the libraries as they are installed."""

import json
import os
import textwrap

import pytest


@pytest.fixture(scope="module")
def outcome(run):
    """What one process finds, that imports everything a training program imports."""
    code = """
    import json, os, sys
    found = {}

    import torch
    found["device of cuda"] = str(torch.zeros(2, device="cuda", pin_memory=True).device)
    found["moved to cuda"] = str(torch.nn.Linear(2, 2).cuda().to("cuda:0").weight.device)
    found["cuda is available"] = torch.cuda.is_available()
    os.environ.pop("MASTER_PORT", None)
    torch.distributed.init_process_group("gloo", rank=0, world_size=1)
    gathered = torch.zeros(1)
    torch.distributed.all_gather_into_tensor(gathered, torch.tensor(3.0))
    found["gathered"] = gathered.tolist()

    from megatron.core import parallel_state, tensor_parallel
    from megatron.core.extensions import transformer_engine
    from megatron.core.transformer.transformer_config import TransformerConfig
    parallel_state.initialize_model_parallel()
    tensor_parallel.model_parallel_cuda_manual_seed(1)
    before = torch.get_rng_state()
    with tensor_parallel.get_cuda_rng_tracker().fork():
        first = torch.rand(3)
    with tensor_parallel.get_cuda_rng_tracker().fork():
        second = torch.rand(3)
    found["tracker moves on"] = not torch.equal(first, second)
    found["outside untouched"] = torch.equal(before, torch.get_rng_state())

    config = TransformerConfig(
        num_layers=1, hidden_size=8, num_attention_heads=2, normalization="RMSNorm"
    )
    layer = transformer_engine.TELayerNormColumnParallelLinear(
        8, 6, config=config, init_method=torch.nn.init.normal_, gather_output=False, bias=False,
        skip_bias_add=False, is_expert=False,
    )
    x = torch.randn(5, 3, 8)
    norm = torch.nn.functional.rms_norm(x, (8,), layer.layer_norm_weight, config.layernorm_epsilon)
    found["norm and linear"] = torch.allclose(layer(x)[0], norm @ layer.weight.T, atol=1e-5)
    found["names"] = sorted(name for name, _ in layer.named_parameters())

    import queue
    from megatron.core.dist_checkpointing.strategies import filesystem_async
    fork, os.fork = os.fork, None
    results, folder = queue.Queue(), os.path.dirname(sys.argv[1])
    buckets = [(os.path.join(folder, f"{n}.distcp"), f"{n}.distcp", ([], [])) for n in range(2)]
    filesystem_async.FileSystemWriterAsync.write_preloaded_data_multiproc(buckets, results)
    os.fork = fork
    found["written without a fork"] = [results.get_nowait(), sorted(os.listdir(folder))]

    import nemo_aligner.algorithms.critic_server_trainer as critic
    import nemo_aligner.algorithms.reward_server as reward
    import nemo_cpu.programs.alignment
    from nemo_aligner.algorithms.ppo import PPOTrainer
    from nemo_aligner.models.nlp.gpt.gpt_sft_model import GPTSFTModel
    found["addresses"] = [critic.ENDPOINT_BIND_ADDRESS, reward.ENDPOINT_BIND_ADDRESS]

    idle = "sympy sklearn pandas.core datasets.load nemo.lightning nltk numba"
    found["imported"] = [name for name in idle.split() if sys.modules.get(name)]

    from datasets import load_dataset
    from nemo.collections.nlp.models import MegatronGPTPromptLearningModel
    import pandas
    found["imported when used"] = [
        load_dataset("json", data_files={"train": sys.argv[1]})["train"]["n"],
        pandas.DataFrame({"n": [1]}).shape,
        MegatronGPTPromptLearningModel.__name__,
    ]
    print("found", json.dumps(found))
    """

    def look(records, **options):
        done = run("-c", textwrap.dedent(code), records, **options)
        assert done.returncode == 0, done.stderr
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("found ")]
        return json.loads(line.removeprefix("found "))

    return look


@pytest.fixture(scope="module")
def found(outcome, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    (folder / "records.jsonl").write_text('{"n": 7}\n')
    return outcome(folder / "records.jsonl")


def test_cuda_is_the_cpu(found):
    assert found["device of cuda"] == "cpu"
    assert found["moved to cuda"] == "cpu"
    assert found["cuda is available"] is False


def test_one_process_meets_nobody_and_gathers_scalars(found):
    assert found["gathered"] == [3.0]


def test_random_states_are_kept_apart(found):
    assert found["tracker moves on"]
    assert found["outside untouched"]


def test_transformer_engine_is_plain_torch_with_its_own_names(found):
    assert found["norm and linear"]
    assert found["names"] == ["layer_norm_weight", "weight"]


def test_checkpoints_are_written_without_a_fork(found):
    """A forked writer could wait for ever for a lock of a thread that it does not have."""
    results, files = found["written without a fork"]
    assert results == {"0": [], "1": []}
    assert {"0.distcp", "1.distcp"} <= set(files)


def test_servers_of_the_aligner_bind_to_loopback(found):
    assert found["addresses"] == ["127.0.0.1"] * 2


def test_what_is_not_needed_is_imported_when_it_is_used(found):
    assert found["imported"] == []
    assert found["imported when used"] == [[7], [1, 1], "MegatronGPTPromptLearningModel"]


def test_the_address_can_be_chosen(run):
    code = (
        "import nemo_aligner.algorithms.reward_server as reward;"
        "print('bound to', reward.ENDPOINT_BIND_ADDRESS)"
    )
    done = run("-c", code, env={**os.environ, "CAI_SERVER_HOST": "127.0.0.2"})
    assert "bound to 127.0.0.2" in done.stdout
