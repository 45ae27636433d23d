"""Records for the tests of the datasets, and the programs run on them."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from tests import programs, project

from cai.data.comparisons import PreferenceFiles
from cai.files.records import Record, ledger_path, read_json, read_jsonl, record_id
from cai.models.templates import Template
from cai.models.tokens import LengthLimit

CHAT = Template(
    system="<extra_id_0>System\n{content}\n",
    user="<extra_id_1>User\n{content}\n",
    assistant="<extra_id_1>Assistant\n{content}\n",
    close="<extra_id_1>",
    stop=["<extra_id_1>"],
    add_bos=False,
)
ANY_LENGTH = LengthLimit(None, None)


def train_tokenizer(folder: Path) -> str:
    """Train a small sentencepiece model; returns its path."""
    text = folder / "text.txt"
    text.write_text("How do I break the very old thing? Say no to that question.\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "tiny"),
        vocab_size=300,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        user_defined_symbols=[*CHAT.stop, "\n"],
        minloglevel=2,
    )
    return str(folder / "tiny.model")


def write_lines(path: Path, rows: Iterable[Record | str]) -> Path:
    """Write records; a text is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(line + "\n" for line in lines))
    return path


def transcript(*turns: str) -> str:
    """Turns as hh-rlhf writes them."""
    names = ("Human", "Assistant")
    return "".join(f"\n\n{names[i % 2]}: {turn}" for i, turn in enumerate(turns))


def comparison(prompt: str, chosen: str, rejected: str, *before: str) -> Record:
    """A pair of hh-rlhf; ``before`` are the turns that precede the prompt."""
    return {
        "chosen": transcript(*before, prompt, chosen),
        "rejected": transcript(*before, prompt, rejected),
    }


def preference(prompt: str, a: str, b: str, p_a: float, principle: str = "harm") -> Record:
    """What the judge says of a pair."""
    texts = {"id": record_id(prompt), "prompt": prompt, "a": a, "b": b}
    return {**texts, "p_a": p_a, "principle": principle}


def revision(prompt: str, *answers: str) -> Record:
    """What becomes of a response in as many rounds as there are answers."""
    rounds = [{"round": i, "revision": answer} for i, answer in enumerate(answers, 1)]
    return {"id": record_id(prompt), "prompt": prompt, "rounds": rounds, "revision": answers[-1]}


def dialogue(prompt: str, answer: str, system: str = "") -> Record:
    """A helpful dialogue of one question."""
    head = [{"role": "system", "content": system}] if system else []
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"id": record_id(prompt + answer), "messages": head + turns, "source": "test"}


def preference_files(folder: Path) -> PreferenceFiles:
    """The four files of a preference dataset in a folder."""
    parts = ("train", "test")
    return PreferenceFiles(
        *(folder / f"{part}.{kind}.jsonl" for part in parts for kind in ("prompts", "comparisons"))
    )


def rows(path: Path) -> list[Record]:
    """The records of a file."""
    return list(read_jsonl(path))


def ids(path: Path) -> set[str]:
    """The ids of a file's records."""
    return {row["id"] for row in read_jsonl(path)}


def ledger(output: Path) -> Record:
    """The ledger beside an output."""
    content = read_json(ledger_path(output))
    assert content["in"] == content["out"] + sum(content["dropped"].values())
    return content


def program(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Run one of the programs."""
    return programs.run(project.program(name), *arguments, env=environment or None)


def error_line(result: subprocess.CompletedProcess) -> str:
    """The one line in which a program tells a user's mistake."""
    assert result.returncode == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.strip()]
    assert "Traceback" not in result.stderr
    assert errors[-1].startswith("error: ")
    return errors[-1]


# Pairs for the datasets of preferences: that the judge decides, that it does not, and of people.
JUDGED = [preference(f"How do I break {i}?", "Hit it.", "Don't.", 0.2) for i in range(60)]
TIED = [preference(f"May I break {i}?", "Yes.", "No.", 0.5) for i in range(20)]
HUMAN = [comparison(f"Mend {i}?", f"Glue {i}.", "No.", f"Hello {i}", "Hi\nyou") for i in range(60)]
