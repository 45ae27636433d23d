"""A run as a person sees it: one line a job; errors, dry runs and the log file stay Snakemake's."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cai.running.job_words import WORDS

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]
SNAKEFILE = f"""
import sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
from cai.running import job_lines
if job_lines.are_wanted(workflow):
    shell.prefix("exec >/dev/null; ")
    job_lines.JobLines().take_over()

rule all:
    input: "summary", "broken" if config.get("broken") else []

rule answers:
    output: "answers.{{model}}"
    log: "answers.{{model}}.log"
    shell: "echo asked 3 of 7 2>&1 | tee {{log}}; echo lost >&2; touch {{output}}"

rule summary:
    input: "answers.a", "answers.b"
    output: "summary"
    shell: "touch {{output}}"

rule broken:
    input: "summary"
    output: "broken"
    log: "broken.log"
    shell: "echo 'error: it is broken' 2>&1 | tee {{log}}; exit 3"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]


def run(folder: Path, *arguments: str, lines: str = "yes", code: int = 0) -> str:
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "CAI_JOB_LINES": lines, "PYTHONHASHSEED": "0"},
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def test_each_job_is_one_line_with_its_number_time_words_and_file(folder):
    said = run(folder)
    jobs = [line for line in said.splitlines() if line.startswith("[")]
    assert [line[:5] for line in jobs] == [f"[{number}/4]" for number in range(1, 5)]
    words = [re.sub(r"^\[\d/4\] +\d+ s +", "", line) for line in jobs]
    assert sorted(words[:2]) == [
        f"{f'answer the held-out prompts ({model})':50} -> answers.{model}" for model in "ab"
    ]
    assert words[2:] == [f"{'summarise the evaluation':50} -> summary", "all is made"]
    assert "asked 3 of 7" not in said and "rule answers" not in said and "steps" not in said
    assert said.count("lost") == 2  # what a shell itself says of an error
    assert (folder / "answers.a.log").read_text() == "asked 3 of 7\n"
    [log] = folder.glob(".snakemake/log/*.log")
    assert "rule answers:" in log.read_text()
    assert "Nothing to be done" in run(folder)


def test_an_error_is_told_as_snakemake_tells_it(folder):
    said = run(folder, "--config", "broken=1", code=1)
    ours = run(folder, "--config", "broken=1", lines="no", code=1)
    told = said[said.index("Error in rule broken:") :]
    assert "broken.log (check log file(s) for error details)" in told
    assert "[3/" in said and "[4/" not in said
    assert "Error in rule broken:" in ours and "[3/" not in ours


def test_a_dry_run_lists_what_it_always_lists(folder):
    said = [run(folder, "-n", "--quiet", "host", lines=lines) for lines in ("yes", "no")]
    said = [re.sub(r"\d\d:\d\d:\d\d", "", one) for one in said]
    assert said[0] == said[1]
    assert said[0].count("rule answers:") == 2


def test_a_terminal_shows_what_is_running(folder):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "CAI_JOB_LINES": "yes", "TERM": "xterm"}
    user = subprocess.Popen(
        command(), cwd=folder, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
    assert user.wait(20) == 0
    shown = said.decode()
    assert "now: answer the held-out prompts (" in shown
    assert "\r\x1b[K[3/4]" in shown  # the line of running jobs is cleared first


def test_every_rule_has_its_words():
    text = "\n".join(
        path.read_text() for path in [ROOT / "Snakefile", *ROOT.glob("rules/**/*.smk")]
    )
    rules = re.findall(r"^ *(?:use rule \w+ as|rule) (\w+)\b", text, re.MULTILINE)
    assert set(rules) == set(WORDS)
    assert max(map(len, WORDS.values())) <= 50  # the column of the words
