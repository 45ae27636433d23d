"""Lists the keys and defaults of NeMo's and NeMo-Aligner's configurations, for the contract tests.

    python envs/nemo-cpu/list_keys.py NEMO ALIGNER > envs/nemo-cpu/keys.json

NEMO and ALIGNER are checkouts of NeMo v2.1.0 and NeMo-Aligner v0.7.0, or laid out like them.
"""

import argparse
import json
from pathlib import Path

import yaml

CONFIGURATIONS = {
    "nemo": ["examples/nlp/language_modeling/conf/megatron_gpt_inference.yaml"],
    "aligner": [
        f"examples/nlp/gpt/conf/{name}.yaml"
        for name in (
            *("gpt_sft", "training_rm", "gpt_ppo_critic", "gpt_ppo_actor", "gpt_dpo"),
            "inference_rm",
        )
    ],
}


def flatten(node: object, prefix: str = "") -> dict[str, object]:
    """Returns {dotted key: default}. Interpolations stay as they are written; empty mappings and
    lists are defaults themselves."""
    if not isinstance(node, dict) or not node:
        return {prefix: number(node)}
    flat = {}
    for key, value in node.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def number(value: object) -> object:
    """OmegaConf reads 3e-5 as a number, PyYAML as a string: here it is a number."""
    try:
        return float(value) if isinstance(value, str) and value[:1].isdigit() else value
    except ValueError:
        return value


def keys_of(nemo: Path, aligner: Path) -> dict[str, dict[str, object]]:
    """Returns {name of the configuration: {dotted key: default}} for both checkouts."""
    files = [nemo / name for name in CONFIGURATIONS["nemo"]]
    files += [aligner / name for name in CONFIGURATIONS["aligner"]]
    return {file.stem: flatten(yaml.safe_load(file.read_text("utf-8"))) for file in files}


def main() -> None:
    """Prints the keys as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nemo", type=Path, help="checkout of NeMo v2.1.0")
    parser.add_argument("aligner", type=Path, help="checkout of NeMo-Aligner v0.7.0")
    options = parser.parse_args()
    print(json.dumps(keys_of(options.nemo, options.aligner), indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
