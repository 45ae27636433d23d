"""A reward model's head: NeMo-Aligner's ``rm_head``, transformers' ``score``.

NeMo-Aligner (``GPTRewardModel``) takes the hidden state of a text's last token, after the final
norm, and computes weight . state + bias. The sequence classifiers of transformers compute the same,
of the last token that is no padding, without the bias: it is the field ``score_bias`` of their
``config.json``. Each reward is so by a constant smaller, and the order is the same.
"""

from functools import partial as bound
from typing import Any

from cai.conversion.hf_folder import Planned
from cai.conversion.nemo_archive import NemoArchive
from cai.core.errors import fail_if
from cai.models.templates import Template
from cai.models.tokenizer_kinds import Kind

WEIGHT, BIAS = "model.rm_head.weight", "model.rm_head.bias"
HF_WEIGHT = "score.weight"


def is_reward_model(archive: NemoArchive) -> bool:
    """Whether an archive's model gives rewards."""
    return WEIGHT in archive.names()


def check(archive: NemoArchive, hidden: int) -> None:
    """Refuse a head that is not one number of the last token's state, of size ``hidden``.

    Raises:
        UserError: what of it differs.
    """
    where = str(archive.path)
    for key, shape in ((WEIGHT, (1, hidden)), (BIAS, (1,))):
        found = archive.shape(key) if key in archive.names() else None
        fail_if(found != shape, f"{where}: {key}: shape {found}; accepted: {shape}, one reward")
    found = archive.config.get("use_avg_pool")
    fail_if(found, f"{where}: use_avg_pool: found {found!r:.100}; accepted: False")


def described(config: dict[str, Any], archive: NemoArchive, pad: int | None) -> dict[str, Any]:
    """The config.json of the classifier; NeMo-Aligner's reward model scales no positions.

    Args:
        config: that of the language model of its family.
        archive: with the bias.
        pad: the token that fills up a batch; see :func:`padding`.
    """
    architectures = [
        name.replace("ForCausalLM", "ForSequenceClassification") for name in config["architectures"]
    ]
    rope = config.get("rope_parameters") or {}
    plain = {key: value for key, value in rope.items() if key == "rope_theta"}
    unscaled = {"rope_scaling": None, "rope_parameters": {**plain, "rope_type": "default"}}
    return {
        **config,
        **{key: value for key, value in unscaled.items() if key in config},
        "architectures": architectures,
        "id2label": {"0": "reward"},
        "label2id": {"reward": 0},
        "problem_type": "regression",
        "pad_token_id": pad,
        "score_bias": float(archive.read(BIAS)),
        "tie_word_embeddings": False,
    }


def padding(tokenizer: Kind, template: Template | None) -> int | None:
    """A token that fills up a batch and is in no text: a reward is read before the first one.

    Args:
        tokenizer: the model's.
        template: that of the texts; None if it is not known.

    Returns:
        None if each candidate may be in a text.
    """
    forms = [getattr(template, name, "") for name in ("system", "user", "assistant", "close")]
    written = {token for form in forms for token in tokenizer.encode(form)}
    named = (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id)
    ids = (*named, *tokenizer.marks.values())
    return next((token for token in ids if token is not None and token not in written), None)


def tensor(archive: NemoArchive) -> Planned:
    """The head's weight, in its own dtype."""
    shape, dtype = archive.shape(WEIGHT), archive.dtype(WEIGHT)
    return Planned(HF_WEIGHT, shape, dtype, bound(archive.read, WEIGHT))
