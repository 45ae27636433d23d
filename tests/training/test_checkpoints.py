"""What a kill leaves of NeMo's checkpoints, and what is resumed from."""

import pytest

from cai.training.checkpoints import Kept, Pairs, kept_steps, newest, settle

ROLES = ("train", "critic")


@pytest.fixture
def save(tmp_path):
    """Write a checkpoint as NeMo does: a marker, the folder, the marker away, the former away."""

    def save(role, step, killed=None):
        folder = tmp_path / role / "checkpoints"
        former = list(folder.glob("*-last"))
        checkpoint = folder / f"gpt-step={step}-last"
        checkpoint.mkdir(parents=True)
        marker = folder / f"{checkpoint.name}-unfinished"
        marker.touch()
        (checkpoint / "weights").write_text(f"{role} {step}")
        if killed == "writing":
            return
        marker.unlink()
        if killed == "deleting the former":
            return
        for old in former:
            (old / "weights").unlink()
            old.rmdir()

    return save


@pytest.fixture
def save_adapters(tmp_path):
    """The same of a training with LoRA: files, one a rank of the model if there are several."""

    def save(role, step, ranks=(), killed=False):
        folder = tmp_path / role / "checkpoints"
        name = f"gpt-step={step}-last"
        folder.mkdir(parents=True, exist_ok=True)
        marker = folder / f"{name}-unfinished"
        marker.touch()
        for place in [folder / rank for rank in ranks] or [folder]:
            place.mkdir(exist_ok=True)
            (place / f"{name}.ckpt").write_text(f"{role} {step}")
        if not killed:
            marker.unlink()

    return save


def files(run):
    return sorted(str(path.relative_to(run / "checkpoints")) for path in run.rglob("*.ckpt"))


@pytest.mark.parametrize("ranks", [(), ("mp_rank_00", "mp_rank_01"), ("tp_rank_00_pp_rank_001",)])
def test_adapters_are_resumed_from_their_newest_whole_checkpoint(save_adapters, tmp_path, ranks):
    run = tmp_path / "train"
    for step in (2, 4):
        save_adapters("train", step, ranks)
    save_adapters("train", 6, ranks, killed=True)
    assert newest(run).name == "gpt-step=4-last.ckpt"
    settle(run)
    assert files(run) == [f"{rank}gpt-step=4-last.ckpt" for rank in map("{}/".format, ranks)] or [
        "gpt-step=4-last.ckpt"
    ]
    assert not list(run.rglob("*unfinished"))


def test_an_actors_adapters_and_its_critic_go_back_to_the_same_save(save, save_adapters, tmp_path):
    ranks = ("mp_rank_00", "mp_rank_01")
    pairs = Pairs(tmp_path, ROLES)
    for step in (1, 2):
        save_adapters("train", step, ranks)
        save("critic", step)
        pairs.look()
    save_adapters("train", 3, ranks)
    Pairs(tmp_path, ROLES).restore()
    assert files(tmp_path / "train") == [f"{rank}/gpt-step=2-last.ckpt" for rank in ranks]
    assert held(tmp_path / "critic") == ["gpt-step=2-last"]


def test_adapters_are_no_snapshot(save_adapters, tmp_path):
    save_adapters("train", 4)
    Kept(tmp_path / "train", tmp_path / "kept", [4]).look()
    assert kept_steps(tmp_path / "kept") == []


def held(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_a_half_checkpoint_is_removed_and_the_former_resumed_from(save, tmp_path):
    save("train", 4)
    save("train", 8, killed="writing")
    settle(tmp_path / "train")
    assert held(tmp_path / "train") == ["gpt-step=4-last"]


def test_a_half_first_checkpoint_is_removed(save, tmp_path):
    save("train", 4, killed="writing")
    settle(tmp_path / "train")
    assert held(tmp_path / "train") == []
    assert newest(tmp_path / "train") is None


def test_of_two_whole_checkpoints_the_newer_stays(save, tmp_path):
    save("train", 8)
    save("train", 16, killed="deleting the former")
    settle(tmp_path / "train")
    assert held(tmp_path / "train") == ["gpt-step=16-last"]


@pytest.mark.parametrize(("ahead", "behind"), [ROLES, ROLES[::-1]])
def test_the_programs_of_a_pair_go_back_to_the_same_save(save, tmp_path, ahead, behind):
    pairs = Pairs(tmp_path, ROLES)
    pairs.restore()
    for step in (1, 2):
        for role in ROLES:
            save(role, step)
            pairs.look()
    save(ahead, 3)
    pairs.look()
    save(behind, 3, killed="writing")
    pairs.look()
    Pairs(tmp_path, ROLES).restore()
    for role in ROLES:
        assert held(tmp_path / role) == ["gpt-step=2-last"]
        assert (newest(tmp_path / role) / "weights").read_text() == f"{role} 2"


def test_a_pair_that_was_never_whole_begins_anew(save, tmp_path):
    pairs = Pairs(tmp_path, ROLES)
    save("train", 1)
    pairs.look()
    pairs.restore()
    assert newest(tmp_path / "train") is None


def test_a_resumed_pair_is_kept_again(save, tmp_path):
    pairs = Pairs(tmp_path, ROLES)
    for role in ROLES:
        save(role, 1)
    pairs.look()
    again = Pairs(tmp_path, ROLES)
    again.restore()
    for role in ROLES:
        save(role, 2)
        again.look()
    Pairs(tmp_path, ROLES).restore()
    assert {held(tmp_path / role)[0] for role in ROLES} == {"gpt-step=2-last"}


def test_checkpoints_of_chosen_steps_stay_when_nemo_deletes_them(save, tmp_path):
    kept = Kept(tmp_path / "train", tmp_path / "kept", [4, 12])
    for step in (4, 8, 12):
        save("train", step)
        kept.look()
    assert kept_steps(tmp_path / "kept") == [4, 12]
    assert held(tmp_path / "train") == ["gpt-step=12-last"]
    assert (tmp_path / "kept/4/weights").read_text() == "train 4"


def test_a_half_checkpoint_is_not_kept_until_it_is_whole(save, tmp_path):
    kept = Kept(tmp_path / "train", tmp_path / "kept", [4])
    save("train", 4, killed="writing")
    kept.look()
    assert kept_steps(tmp_path / "kept") == []
    settle(tmp_path / "train")
    save("train", 4)
    kept.look()
    assert kept_steps(tmp_path / "kept") == [4]
