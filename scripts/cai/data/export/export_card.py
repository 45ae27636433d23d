"""The dataset card of what is exported: what a reader, and the library datasets, should know."""

import json
from collections.abc import Iterable, Mapping, Sequence

from cai.files.records import Ledger
from cai.settings.configuration import Model, Settings
from cai.settings.sources import Source

HEAD = """\
# Constitutional AI: the datasets of a run

Made by a run of Constitutional AI (Bai et al. 2022, arXiv 2212.08073) on NVIDIA NeMo. It contains
harmful requests, and answers to them: it is made to train and to study models, not to be read for
pleasure. Its licence follows from those of the datasets and of the models that it is made from.
"""

COLUMNS = """\
- **sft**: `messages`, a dialogue that ends with the answer to learn. `dataset` is `revisions` (an
  answer to a harmful request, revised by principles) or `helpful`.
- **preferences**: `prompt`, `chosen` and `rejected`, as messages; `chosen_response` and
  `rejected_response` are the two answers as texts. `dataset` is `ai` (the judge chose by a
  principle) or `helpful` (people chose). `probability` is the judge's that the chosen answer is
  the better one, above 0.5; null where people chose. `principle` names the judge's principle;
  null where people chose, or where the judge weighed the whole constitution. The run trains on
  draws with this probability; here each pair stands once, and ties are left out.
- **prompts**: `prompt`, messages for a policy to answer. `dataset` is `red_team` or `helpful`.

No prompt is in two parts of a dataset. `id` is that of the record in the run.
"""

LOADING = """\
    from datasets import load_dataset

    pairs = load_dataset("FOLDER", "preferences", split="train")

- **TRL**: `SFTTrainer` takes sft; `DPOTrainer` and `RewardTrainer` take preferences;
  `GRPOTrainer` and other online trainers take prompts.
- **OpenRLHF**, with `--apply_chat_template`: sft with `--input_key messages`; preferences with
  `--prompt_key prompt --chosen_key chosen --rejected_key rejected`; prompts with `--input_key
  prompt`.
- **NeMo-RL**: preferences as `BinaryPreferenceDataset` of the folder `preferences`, with
  `chosen_key: chosen_response` and `rejected_key: rejected_response`; sft as
  `OpenAIFormatDataset`, which reads JSON Lines: what `to_json("sft.jsonl")` of the loaded dataset
  writes.
"""


def card(ledgers: Sequence[Ledger], principles: Mapping[str, str], origins: Iterable[str]) -> str:
    """The card as Markdown; its head tells the library datasets which files are which.

    Args:
        ledgers: of the datasets, whose notes have the rows of each part.
        principles: texts by the ids that the preferences name.
        origins: what the run was made from, in words.
    """
    counted = [f"| {x.step} | {part} | {rows} |" for x in ledgers for part, rows in x.notes.items()]
    parts = [
        "---",
        *_configurations(ledgers),
        "---",
        "",
        HEAD,
        "| dataset | part | rows |\n| --- | --- | --- |",
        *counted,
        "",
        COLUMNS,
        "## Loading\n",
        LOADING,
        "## Made from\n",
        *(f"- {origin}" for origin in origins),
        "\n## Principles of the preferences\n",
        *(f"- `{name}`: {' '.join(text.split())}" for name, text in principles.items()),
    ]
    return "\n".join(parts) + "\n"


def origins(settings: Settings) -> list[str]:
    """What the datasets of a run are made from: in words, and by name."""
    models, data = settings.models, settings.datasets
    helpful = [f"helpful comparisons: {_named(source)}" for source in data.helpful_preferences]
    return [
        f"the model that answers, revises and judges: {_named(models.instruct)}",
        f"the model that is trained: {_named(models.base)}",
        f"red-team prompts: {_named(data.red_team)}",
        f"helpful dialogues: {_named(data.helpful_sft)}",
        *helpful,
    ]


def _named(origin: Source | Model) -> str:
    return f"`{origin.source}`" + (f" at `{origin.revision}`" if origin.revision else "")


def _configurations(ledgers: Iterable[Ledger]) -> Iterable[str]:
    """The card's YAML: a configuration for each dataset, with the file of each part."""
    yield "configs:"
    for ledger in ledgers:
        yield f"- config_name: {ledger.step}"
        yield "  data_files:"
        for part in ledger.notes:
            path = json.dumps(f"{ledger.step}/{part}.parquet")
            yield f"  - {{split: {part}, path: {path}}}"
