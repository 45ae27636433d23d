"""Files of many shards on one command line."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT

from cai.core.numbered import folded, unfolded

pytestmark = pytest.mark.slow


PATHS = st.lists(
    st.one_of(
        st.builds("{}/{}{}".format, st.sampled_from(["a", "b c", "{0..1}"]),
                  st.integers(0, 4), st.sampled_from([".jsonl", ".ledger.json"])),
        st.sampled_from(["b.jsonl", "a/07.jsonl", "a/x1.jsonl", "0/a.json"]),
    )
)  # fmt: skip


@given(PATHS)
def test_what_is_folded_unfolds_to_the_same_files_in_the_same_order(paths):
    assert unfolded(folded(paths)) == paths


@given(st.integers(1, 1000))
def test_all_shards_are_one_word(count):
    paths = [f"results/rl_cai/preferences/{number}.jsonl" for number in range(count)]
    assert len(folded(paths)) == 1


@pytest.mark.parametrize("word", ["{0..3}", '{"text": "/{0..3}.jsonl"}', "x{0..3}.jsonl", "--a"])
def test_other_words_stay_as_they_are(word):
    assert unfolded([word]) == [word]


LONGEST = 128 * 1024  # bytes of one argument that Linux takes


def test_the_commands_of_many_shards_in_a_deep_folder_are_not_too_long():
    results = "results/" + "/".join(["a_long_name_of_a_folder"] * 4)
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "--profile", "slurm"]
    given = ["--config", "shards=300", f"results={results}", "--", f"{results}/report.html"]
    done = subprocess.run([*command, *given], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("Shell command:")]
    assert lines and max(len(line.encode()) for line in lines) < LONGEST / 4
    assert any("rl_cai/preferences/{0..299}.report.json" in line for line in lines)
