"""Adapters of any number of ranks are merged into the same model; others are refused."""

import pytest
from tests.conversion.support import Refused


@pytest.fixture
def merged(call, archive, tmp_path):
    def make(tensor=1, stages=1, base=archive, **peft):
        adapters, target = tmp_path / "adapters.nemo", tmp_path / f"{tensor}-{stages}.nemo"
        call("make_adapters", archive, adapters, tensor, stages, peft)
        call("merge_adapters", base, adapters, target)
        return target

    return make


@pytest.mark.parametrize(("tensor", "stages"), [(2, 1), (1, 2), (2, 2)])
def test_ranks_are_put_together(call, merged, archive, tensor, stages):
    one, several = merged(), merged(tensor, stages)
    assert call("tensors_digest", several) == call("tensors_digest", one)
    assert call("tensors_digest", one) != call("tensors_digest", archive)
    assert call("layout_of", one) == call("layout_of", archive)


def test_the_same_inputs_give_the_same_bytes(merged):
    assert merged().read_bytes() == merged().read_bytes()


@pytest.mark.parametrize(
    ("peft", "message"),
    [
        ({"peft_scheme": "ia3"}, r"peft\.peft_scheme: found 'ia3'; accepted: 'lora'"),
        ({"lora_tuning": {"adapter_dim": 4, "variant": "canonical"}}, r"variant: .*'nemo'"),
        ({"lora_tuning": {}}, r"adapter_dim: found None"),
    ],
)
def test_what_cannot_be_added_to_weights_is_refused(merged, tmp_path, peft, message):
    with pytest.raises(Refused, match=message):
        merged(**peft)
    assert not (tmp_path / "1-1.nemo").exists()


def test_a_whole_model_is_no_adapters(call, archive, tmp_path):
    with pytest.raises(Refused, match="peft"):
        call("merge_adapters", archive, archive, tmp_path / "target.nemo")


def test_adapters_of_another_model_are_refused(call, make_model, merged, tmp_path):
    other = make_model(tmp_path / "other", hidden_size=64)
    call("hf_to_nemo", other, tmp_path / "other.nemo")
    with pytest.raises(Refused, match=r"adapters of 64 x 32; .*other.nemo has 2 layers"):
        merged(base=tmp_path / "other.nemo")
