"""The training wrapper, with a small program in the place of NeMo's: kills, hangs, lies.

That NeMo itself behaves as this program does is tested in tests/end_to_end.
"""

import json
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from tests.messages import says

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent.parent
TRAINER = """
import io, json, os, sys, tarfile, time
from pathlib import Path
options = dict(argument.split("=", 1) for argument in sys.argv[1:])
print(sys.argv, flush=True)
folder = Path(options["log_dir"]) / "checkpoints"
folder.mkdir(parents=True, exist_ok=True)
done = max([int(p.name.split("=")[1][:-5]) for p in folder.glob("*-last")], default=0)
steps = int(options["steps"])
for step in range(done + 1, steps + 1):
    time.sleep(float(options.get("pace", 0)))
    (folder / f"step={step}-last").mkdir()
    for former in folder.glob(f"step={step - 1}-last"):
        former.rmdir()
    print(f"{step}/{steps} [00:01<00:02]", flush=True)
    if step == int(options.get("silent_at", -1)):
        time.sleep(600)
    if step == int(os.environ.get("STOP_AFTER", options.get("stop_after", -1))):
        sys.exit(0)
if options.get("fails"):
    print("Error executing job with overrides: ...", flush=True)
    time.sleep(float(options["fails"]))
    sys.exit(1)
if done < steps:
    content = json.dumps({"from": done, "data": options["data"]}).encode()
    member = tarfile.TarInfo("result.json")
    member.size = len(content)
    with tarfile.open(folder / "tiny.nemo", "w:") as archive:
        archive.addfile(member, io.BytesIO(content))
"""


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.program = folder / "trainer.py"
        self.program.write_text(TRAINER)
        self.data = folder / "data.jsonl"
        self.data.write_text("{}\n")
        self.output = folder / "tiny.nemo"
        self.log = folder / "tiny.log"

    def command(self, *own, **options):
        overrides = {"log_dir": "LOG_DIR", "data": "data.jsonl", "steps": 3} | options
        return [
            *(
                sys.executable,
                str(ROOT / "scripts/training/train.py"),
                "--what",
                "tiny",
                "--name",
                "tiny",
            ),
            *("--work", str(self.folder / "work"), "--output", str(self.output)),
            *("--log", str(self.log), "--inputs", str(self.data), *own, "--", sys.executable),
            str(self.program),
            *(f"{key}={value}" for key, value in overrides.items()),
        ]

    def train(self, *own, **options):
        return subprocess.run(self.command(*own, **options), capture_output=True, text=True)

    def submitted(self, attempt, **options):
        """A training as one of several submissions of a job."""
        return self.train("--launch", json.dumps({"attempt": attempt}), **options)

    @property
    def result(self):
        with tarfile.open(self.output) as archive:
            return json.load(archive.extractfile("result.json"))


def test_a_run_publishes_the_checkpoint_and_its_manifest(bench):
    done = bench.train()
    assert done.returncode == 0, done.stderr
    assert bench.result["from"] == 0
    manifest = json.loads((bench.folder / "tiny.manifest.json").read_text())
    assert manifest["inputs"].keys() == {str(bench.data)}
    assert manifest["size"] == bench.output.stat().st_size


def test_a_finished_run_is_published_again_without_training(bench):
    bench.train()
    bench.output.unlink()
    said = bench.train().stdout
    assert "already trained" in said
    assert bench.result["from"] == 0


def test_checkpoints_of_steps_can_be_kept_and_are_no_other_training(bench):
    bench.train("--keep-steps", "1", steps=2, pace=1.5)
    kept = list(bench.folder.glob("work/*/kept/*"))
    assert [path.name for path in kept] == ["1"]
    assert "already trained" in bench.train("--keep-steps", "2", steps=2, pace=1.5).stdout
    assert kept[0].exists()


def test_a_killed_run_resumes(bench):
    running = subprocess.Popen(bench.command(steps=4, pace=0.4), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not list(bench.folder.glob("work/*/train/checkpoints/step=2-last")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not bench.output.exists()
    done = bench.train(steps=4, pace=0.4)
    assert "tiny: resumes at step " in done.stdout
    assert bench.result["from"] >= 2


def test_other_settings_and_other_data_never_resume(bench):
    bench.train(steps=4, stop_after=2)
    bench.train(steps=5)
    assert bench.result["from"] == 0
    bench.train(steps=6, stop_after=2)
    bench.data.write_text('{"other": 1}\n')
    bench.train(steps=6)
    assert bench.result["from"] == 0


def folders(bench):
    return {path for path in (bench.folder / "work").iterdir() if path.is_dir()}


def test_a_half_trained_run_is_kept_and_named_and_goes_on(bench, monkeypatch):
    monkeypatch.setenv("STOP_AFTER", "2")
    bench.train(steps=4)
    monkeypatch.delenv("STOP_AFTER")
    (half,) = folders(bench)
    said = bench.train(steps=5).stdout
    assert "stopped at step 2" in said
    assert f"rm -r {half}" in said
    assert len(folders(bench)) == 2
    assert "tiny: resumes at step 2" in bench.train(steps=4).stdout
    assert bench.result["from"] == 2


def test_of_trained_runs_only_the_published_one_is_kept(bench):
    bench.train(steps=4)
    first = folders(bench)
    said = bench.train(steps=5).stdout
    assert "rm -r" not in said
    assert len(folders(bench)) == 1
    assert folders(bench).isdisjoint(first)


def test_two_trainings_do_not_share_a_work_folder(bench):
    first = subprocess.Popen(bench.command(steps=2, pace=4), stdout=subprocess.PIPE, text=True)
    assert "tiny: starts in" in first.stdout.readline()
    second = bench.train(steps=2, pace=4)
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "another process" in second.stderr
    first.communicate()
    assert first.returncode == 0


def test_an_exit_code_of_zero_without_a_checkpoint_is_no_success(bench):
    done = bench.train(stop_after=1)
    assert done.returncode == 2
    assert "stopped at step 1 without tiny.nemo" in done.stderr
    assert not bench.output.exists()


@pytest.mark.parametrize("kept", [0.5, 1.0])
def test_half_a_nemo_file_is_not_published(bench, kept):
    """A file cut at any place, the border of its last block among them, is made again."""
    bench.train()
    (written,) = bench.folder.glob("work/*/train/checkpoints/tiny.nemo")
    written.write_bytes(written.read_bytes()[: int(kept * 1024)])
    for folder in written.parent.glob("*-last"):
        folder.rmdir()
    assert bench.train().stdout.startswith("tiny: starts in")
    assert bench.result["from"] == 0


def test_a_program_that_fails_but_hangs_is_ended(bench, monkeypatch):
    from cai.core.errors import UserError
    from cai.training import trainer

    monkeypatch.setattr("cai.training.watching.HANG_LIMIT", 0.5)
    run = trainer.Training(
        what="tiny",
        work=bench.folder / "work",
        name="tiny",
        output=bench.output,
        log=bench.log,
        inputs=[bench.data],
        command=[sys.executable, str(bench.program), "log_dir=LOG_DIR", "steps=1", "fails=600"],
    )
    with pytest.raises(UserError, match=r"tiny: .*failed; log: .*tiny\.log"):
        run.run()


def test_a_training_that_says_nothing_is_ended_and_the_next_one_goes_on(bench):
    silent = json.dumps({"silence": 0.05})
    done = bench.train("--launch", silent, steps=3, silent_at=2)
    assert done.returncode == 2 and done.stderr.count("Traceback") == 0
    assert says(done.stderr, "tiny: … said nothing for 0.05 minutes … stop_if_silent … step 2")
    assert says(done.stderr, f"log: {bench.log}, which ends:") and "2/3 [" in done.stderr
    assert bench.train("--launch", silent, steps=3, silent_at=2).returncode == 0
    assert bench.result["from"] == 2


def test_a_training_that_says_something_now_and_then_is_not_ended(bench):
    assert bench.train("--launch", json.dumps({"silence": 0.05}), pace=1.2).returncode == 0


def test_the_end_of_the_log_is_shown_when_the_program_fails(bench):
    done = bench.train(fails=0.1)
    assert done.returncode == 2
    assert says(done.stderr, "ended with code 1; log:")
    assert "Error executing job" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_job_that_fails_at_the_same_step_is_not_submitted_for_ever(bench):
    for attempt in (1, 2):
        assert "ended with code 1" in bench.submitted(attempt, fails=0.1, steps=3).stderr
        for checkpoint in bench.folder.glob("work/*/train/checkpoints/*-last"):
            checkpoint.rmdir()
    third = bench.submitted(3, fails=0.1, steps=3)
    assert says(third.stderr, "error: tiny: ended 2 times … step 0 … snakemake")
    assert third.stderr.count("\n") == 1
    assert "ended with code 1" in bench.submitted(1, fails=0.1, steps=3).stderr


def test_a_job_that_gets_on_is_submitted_again(bench, monkeypatch):
    for attempt in (1, 2, 3):
        monkeypatch.setenv("STOP_AFTER", str(attempt))
        assert f"stopped at step {attempt}" in bench.submitted(attempt, steps=9).stderr
    monkeypatch.delenv("STOP_AFTER")
    assert bench.submitted(4, steps=9).returncode == 0
    attempts = json.loads((bench.folder / "tiny.manifest.json").read_text())["attempts"]
    assert [attempt["step"] for attempt in attempts] == [0, 1, 2, 3]


def test_a_program_that_does_nothing_at_all_is_no_success(bench):
    done = bench.train(steps=0, log_dir=bench.folder / "elsewhere")
    assert done.returncode == 2
    assert says(done.stderr, "first checkpoint … tiny.nemo")


def test_a_training_is_told_to_stop_before_its_jobs_time_limit(bench):
    told = json.dumps({"minutes": 240, "margin": 15})
    done = bench.train("--launch", told, stop_after=1)
    assert done.returncode == 2
    assert "++exp_manager.max_time_per_run=00:03:4" in bench.log.read_text()


def test_the_number_of_nodes_and_gpus_is_no_other_training(bench):
    first = bench.train("--launch", json.dumps({"gres": "gpu:8"}), gpus="DEVICES", stop_after=1)
    assert first.returncode == 2
    done = bench.train("--launch", json.dumps({"gres": "gpu:4"}), gpus="DEVICES", stop_after=1)
    assert "resumes at step 1" in done.stdout
    manifest = json.loads((bench.folder / "tiny.manifest.json").read_text())
    assert [attempt["gpus"] for attempt in manifest["attempts"]] == [8, 4]
    assert manifest["gpu_hours"] > 0


SERVER = """
import http.server, sys, time
time.sleep(float(sys.argv[2]))

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


def limits(bench):
    """The seconds that each start of the program was told to train for."""
    told = re.findall(r"max_time_per_run=00:(\d\d):(\d\d):(\d\d)", bench.log.read_text())
    return [
        3600 * int(hours) + 60 * int(minutes) + int(seconds) for hours, minutes, seconds in told
    ]


def test_waiting_for_the_critic_is_no_time_for_training(bench):
    server = bench.folder / "critic.py"
    server.write_text(SERVER)
    told = json.dumps({"minutes": 60, "margin": 0})
    command = bench.command("--launch", told, stop_after=1)
    at = command.index("--")
    command[at:at] = ["--", sys.executable, str(server), "FREE_PORT", "6"]
    subprocess.run(command, capture_output=True, text=True)
    (left,) = limits(bench)
    # it waited for 6 seconds, and allows as much for loading as a small model takes, a minute
    assert 3600 - 60 - 30 < left <= 3600 - 60 - 6


def test_what_loading_took_is_left_out_the_next_time(bench, monkeypatch):
    told = json.dumps({"minutes": 60, "margin": 0})
    monkeypatch.setenv("STOP_AFTER", "1")
    bench.train("--launch", told, steps=9, pace=2)
    (attempts,) = bench.folder.glob("work/*/attempts.json")
    (entry,) = json.loads(attempts.read_text())
    assert 2 < entry["loading"] < 30  # until the bar was there
    entry["loading"] = 400.0
    attempts.write_text(json.dumps([entry]))
    monkeypatch.setenv("STOP_AFTER", "2")
    bench.train("--launch", told, steps=9, pace=2)
    first, second = limits(bench)
    assert 3600 - 60 - 20 < first <= 3600 - 60
    assert 3200 - 20 < second <= 3200


def test_room_to_pack_the_result_is_looked_for_before_anything_starts(bench, monkeypatch):
    model = bench.folder / "model.nemo"
    with open(model, "wb") as stream:
        stream.truncate(10**13)  # of no blocks
    command = bench.command(steps=1)
    command.insert(command.index(str(bench.data)), str(model))
    manifest = {"sha256": "0", "size": 10**13}
    (bench.folder / "model.manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("TMPDIR", str(bench.folder))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {bench.folder}: ") and done.stderr.count("\n") == 1
    assert f"10000.0 GB are needed for the files of {model}, for a .nemo as" in done.stderr
    assert not bench.log.exists()
