"""A training's checkpoint folder becomes a .nemo, bit for bit and without the optimizer."""

import tarfile

import pytest
from tests.conversion.support import Refused

OPTIMIZER = "optimizer.state.exp_avg.model.decoder.final_layernorm.weight"


@pytest.fixture
def checkpoint(call, archive, tmp_path):
    """The folder that two ranks save, of a model whose vocabulary may be padded."""

    def make(padding=0):
        call("reshard", archive, tmp_path / "two_ranks.nemo", padding, OPTIMIZER)
        with tarfile.open(tmp_path / "two_ranks.nemo") as tar:
            tar.extractall(tmp_path / "unpacked", filter="data")
        return tmp_path / "unpacked/model_weights"

    return make


def test_the_weights_are_those_of_the_checkpoint_and_the_rest_is_lent(
    call, archive, checkpoint, tmp_path
):
    call("checkpoint_to_nemo", checkpoint(), archive, tmp_path / "snapshot.nemo")
    assert call("weights_digest", tmp_path / "snapshot.nemo") == call("weights_digest", archive)
    assert OPTIMIZER not in call("layout_of", tmp_path / "snapshot.nemo")


def test_a_checkpoint_of_another_model_is_refused(call, archive, checkpoint, tmp_path):
    with pytest.raises(Refused, match=r"checkpoint.* model"):
        call("checkpoint_to_nemo", checkpoint(padding=8), archive, tmp_path / "snapshot.nemo")
    assert not (tmp_path / "snapshot.nemo").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / ".metadata").unlink(), r"\.metadata"),
        (lambda folder: (folder / "__1_0.distcp").write_bytes(b""), r"__1_0.distcp: .*: damaged"),
    ],
)
def test_a_damaged_checkpoint_is_named(call, archive, checkpoint, tmp_path, spoil, message):
    folder = checkpoint()
    spoil(folder)
    with pytest.raises(Refused, match=message):
        call("checkpoint_to_nemo", folder, archive, tmp_path / "snapshot.nemo")
