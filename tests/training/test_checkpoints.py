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
