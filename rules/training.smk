# What the trainings share: how NeMo's programs are launched, and where they find their inputs.

# Keys of NeMo's: what a training starts from, and its data; and the inputs that are named there.
START = "pretrained_checkpoint.restore_from_path"
DATA = "model.data.data_prefix"
SFT_FILES = {
    "model.restore_from_path": "model",
    "model.data.train_ds.file_path": "train",
    "model.data.validation_ds.file_path": "validation",
}
PARTS_OF_DATA = {"train": ["train"], "validation": ["test"], "test": ["test"]}


def launch_critic(wildcards, resources):
    """The critic's part of PPO's resources."""
    return split(resources)[0].model_dump_json(exclude_defaults=True)


def launch_actor(wildcards, resources):
    """The actor's part of PPO's resources."""
    return split(resources)[1].model_dump_json(exclude_defaults=True)


def keeping(policy):
    """A param: the steps whose checkpoints stay; like what a launch is, no reason to train again."""
    return lambda wildcards, resources: optional(
        "--keep-steps", *paper_runs.kept_steps(settings, policy)
    )
