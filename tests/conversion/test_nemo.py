"""NeMo itself restores what the converter writes, and what NeMo saves comes back."""

import json
import subprocess

import sentencepiece
from tests.conversion.support import HERE

NEMO = HERE.parents[1] / "envs/nemo-cpu/python"
PROMPTS = ["write a polite answer", "the quick brown fox"]


def test_nemo_restores_continues_and_saves(call, model, archive, tmp_path):
    saved, answers = tmp_path / "saved.nemo", tmp_path / "answers.json"
    run = subprocess.run(
        [NEMO, HERE / "nemo_restore.py", archive, saved, answers, *PROMPTS],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    tokenizer = sentencepiece.SentencePieceProcessor(str(model / "tokenizer.model"))
    tokens = [tokenizer.encode(prompt) for prompt in PROMPTS]
    longest = max(map(len, tokens))
    for prompt, answer in zip(tokens, json.loads(answers.read_text()), strict=True):
        count = longest + 8 - len(prompt)  # NeMo extends the shorter prompt to the same length
        assert answer == call("continuations", model, [prompt], count)[0]

    call("nemo_to_hf", saved, tmp_path / "back")
    assert call("differing", model, tmp_path / "back") == []
