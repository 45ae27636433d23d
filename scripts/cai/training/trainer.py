"""Run one of NeMo-Aligner's training programs so that it can be killed and resumed.

Training happens in a work folder that Snakemake does not know, named after a digest of all that
determines the result: the command and the content of its inputs. The same settings resume
there; other settings never do. What decides success is a whole ``.nemo`` file, not the exit code:
NeMo-Aligner ends with 0 on a time limit, too. The file is published atomically; where it holds
LoRA's adapters alone, their base is published with them merged into it. The number of nodes and
GPUs is not a setting: a training can continue with other numbers.
"""

import fcntl
import shlex
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from cai.core.digests import digest, file_digest
from cai.core.errors import UserError, fail_if
from cai.core.project import SCRIPTS
from cai.files.partials import partial, size_of
from cai.models.nemo_tokenizer import complete
from cai.nemo.keys import LORA_SCHEME
from cai.nemo.triton import tidied
from cai.nemo.unpacking import ARCHIVE, check_room, unpacked
from cai.provenance import software
from cai.provenance.manifest import identity, write_manifest
from cai.running.attempts import Attempts, Entry
from cai.running.launch import Launch
from cai.running.launcher import LOOPBACK, Launcher
from cai.running.process import AT_ONCE, GRACE, Program
from cai.settings import overrides
from cai.training.adapter_training import holds_adapters, merge, trains_adapters
from cai.training.checkpoints import Kept, Pairs, is_whole, kept_folder, link, newest, settle, step
from cai.training.critic import critic_answers, wait_for_critic
from cai.training.metrics import export_metrics
from cai.training.schedule import scheduled
from cai.training.watching import POLL, HangWatch, SilenceWatch, StepProgress, failure

TERMINATED = (-15, 143)  # exit codes of a program that was asked to end
PACKED = (  # of TMPDIR
    ", for a .nemo as large is packed there at the end: name another TMPDIR, or mount a disk on it "
    "(resources environment, mounts)"
)
IMPORTS = 60.0  # seconds that a program takes to load a model of no size
SLOWEST_DISK = 5e7  # bytes a second that a model is loaded with, at the least
SHORTEST = 60  # seconds: with less until the time limit, a start is not worth it
LOG_DIR = "LOG_DIR"  # in a command, the run's own folder
FINISH = SCRIPTS / "training/finish_training.py"


@dataclass
class Training:
    """One training run.

    Attributes:
        what: name for messages.
        work: folder under which the run's own folder is made.
        name: ``exp_manager.name``: the program writes ``checkpoints/<name>.nemo``.
        output: where the ``.nemo`` is published.
        log: where the programs' output goes.
        inputs: files whose content determines the result.
        command: the training program. ``LOG_DIR``, ``FREE_PORT``, ``CRITIC_HOST`` and ``STEPS`` in
            it, and the launcher's words, are filled in.
        critic: for PPO, the critic server that has to run beside it.
        launch: how it is started.
        critic_launch: how the critic is started; the first of its nodes must be this one.
        keep_steps: steps whose checkpoints stay, in ``kept/`` of its folder. They change no result.
    """

    what: str
    work: Path
    name: str
    output: Path
    log: Path
    inputs: Sequence[Path]
    command: Sequence[str]
    critic: Sequence[str] | None = None
    launch: Launch = field(default_factory=Launch)
    critic_launch: Launch = field(default_factory=Launch)
    keep_steps: Collection[int] = ()
    started: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.input_digests = {str(path): identity(path) for path in self.inputs}
        commands = [list(self.command), list(self.critic or [])]
        self.fingerprint = digest([commands, list(self.input_digests.values())])
        self.folder = self.work / self.fingerprint[:16]
        self.trained = self.folder / "train" / "checkpoints" / f"{self.name}.nemo"
        self.pairs = Pairs(self.folder, ("train", "critic"))
        self.kept = Kept(self.folder / "train", kept_folder(self.folder), self.keep_steps)
        # when the program ends for its time limit, at the earliest
        self._stops: float | None = None
        gpus = self.launch.gpus + (self.critic_launch.gpus if self.critic else 0)
        self.attempts = Attempts(self.folder / "attempts.json", self.launch.attempt, gpus)

    def run(self) -> None:
        """Train, or resume, or find it done; then publish.

        Raises:
            UserError: when the program fails, with the end of its log.
        """
        fail_if(
            self.keep_steps and trains_adapters(self.command),
            f"{self.what}: {LORA_SCHEME}: found lora; accepted: none where checkpoints are kept "
            "(paper.snapshots), for they would hold adapters alone",
        )
        with locked(self.work):
            if is_whole(self.trained):
                print(
                    f"{self.what}: already trained with these settings, published again; "
                    f"to train anew, remove {self.folder}",
                    flush=True,
                )
            else:
                self._train()
            self._publish()

    def _train(self) -> None:
        self.trained.unlink(missing_ok=True)  # a half one
        if self.critic is None:
            settle(self.folder / "train")
        else:
            self.pairs.restore()
        self.attempts.check(self.what)
        resumed = newest(self.folder / "train")
        print(f"{self.what}: {_from(resumed)} in {self.folder}", flush=True)
        command = scheduled(self.command)
        self._check_room()
        with self.attempts.running(step=step(resumed) if resumed else 0) as entry:
            self._run_programs(command, entry)
        reached = newest(self.folder / "train")
        if resumed and resumed == reached and not is_whole(self.trained):
            # Killed between its last checkpoint and the .nemo: resumed, it finds no step to do.
            print(f"{self.what}: no step is left, writes {self.trained.name}", flush=True)
            python, program, *options = command
            with self.attempts.running(step=step(resumed)):
                self._run_programs([python, str(FINISH), *options], TRAINING_PROGRAM=program)
        fail_if(
            not is_whole(self.trained),
            f"{self.what}: stopped {_at(reached)} {self._reason()}; the next run goes on from "
            f"there; log: {self.log}",
        )

    def _reason(self) -> str:
        """Why there is no ``.nemo`` although the program ended well."""
        if self._stops is not None and time.time() > self._stops:
            return f"for the time limit of {self.launch.minutes} minutes"
        return f"without {self.trained.name}"

    def _check_room(self) -> None:
        """Refuse where the ``.nemo`` could not be packed at the end of training.

        NeMo packs it in TMPDIR, of the first of the trainer's nodes.

        Raises:
            UserError: the folder, what is free and what is needed.
        """
        place = Launcher(self.launch).temporary()
        if place is not None and self.launch.first_node == 0:
            for archive in self._archives:
                check_room(archive.stat().st_size, place, archive, PACKED)

    @property
    def _archives(self) -> list[Path]:
        return [path for path in self.inputs if path.suffix == ARCHIVE]

    def _time_limit(self, critic_seconds: float = 0.0) -> list[str]:
        """The override that ends the program, with a checkpoint, before the job's time limit.

        Its clock starts when the models are loaded (``fit`` of NeMo-Aligner's trainers), so what
        loading takes is left out: as it was measured in an earlier submission, else as the critic
        took, or by the size of the models.

        Args:
            critic_seconds: that the critic took to start; 0 without one.
        """
        if self.launch.seconds is None:
            return []
        known = [entry["loading"] for entry in self.attempts.entries if "loading" in entry]
        size = sum(archive.stat().st_size for archive in self._archives)
        loading = max(known or [critic_seconds, IMPORTS + size / SLOWEST_DISK])
        whole = self.launch.seconds - (time.time() - self.started)
        left = round(whole - min(loading, whole / 4))
        fail_if(
            left < SHORTEST,
            f"{self.what}: {left} s are left of the job's {self.launch.minutes} minutes, less "
            f"{self.launch.margin} for the last checkpoint and {loading:.0f} s for loading; give "
            "it more (resource runtime)",
        )
        self._stops = time.time() + left
        return [f"++exp_manager.max_time_per_run={_clock(left)}"]

    def _run_programs(
        self, command: Sequence[str], entry: Entry | None = None, **environment: str
    ) -> None:
        """Run the trainer, beside the critic if there is one.

        Args:
            command: the trainer's.
            entry: of the attempt, for what loading takes; None: without a time limit.
            environment: variables of the trainer's own.
        """
        with unpacked([command, self.critic or []], self.work) as (loading, serving):
            if self.critic is None:
                self._run_trainer(loading, {}, [], entry, environment)
                return
            critic = Launcher(self.critic_launch)
            apart = self.launch.first_node != self.critic_launch.first_node
            port = critic.free_port()
            fills = {"FREE_PORT": port, "CRITIC_HOST": critic.host() if apart else LOOPBACK}
            log = self.log.with_name(f"{self.log.stem}.critic.log")
            with (
                tidied(self.work) as own,  # not self.folder: a socket's path must be short
                self._program(critic, serving, fills, "critic", log, own) as server,
            ):
                wait_for_critic(server, int(port))
                self._run_trainer(loading, fills, [server], entry, environment)

    def _run_trainer(
        self,
        command: Sequence[str],
        fills: Mapping[str, str],
        servers: Sequence[Program],
        entry: Entry | None,
        environment: Mapping[str, str],
    ) -> None:
        if entry is not None:
            seconds = time.time() - servers[0].started if servers else 0.0
            command = [*command, *self._time_limit(seconds)]
        launcher = Launcher(self.launch)
        with self._program(launcher, command, fills, "train", self.log, environment) as program:
            port = int(fills.get("FREE_PORT", 0))
            answers = (lambda: critic_answers(port)) if servers else (lambda: True)
            self._watch([program, *servers], answers, entry)

    def _program(
        self,
        launcher: Launcher,
        command: Sequence[str],
        fills: Mapping[str, str],
        role: str,
        log: Path,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Program:
        own = {"MASTER_ADDR": launcher.host(), "MASTER_PORT": launcher.free_port()}
        words = {**fills, LOG_DIR: str((self.folder / role).resolve())}
        filled = [_fill(argument, words) for argument in command]
        # PyTriton, which serves the critic, often hangs at its end; all has been saved by then
        patience = AT_ONCE if role == "critic" else GRACE
        environment = {**own, **environment}
        return launcher.start(filled, environment, log, f"{self.what}-{role}", patience)

    def _watch(
        self, programs: Sequence[Program], answers: Callable[[], bool], entry: Entry | None
    ) -> None:
        """Wait for the first program; the others must outlive it.

        A program fails, too, when the server that it asks has died: that is then the reason. What
        it takes until its first step goes into the entry.
        """
        trainer, *servers = programs
        progress = StepProgress(self.what, trainer.log)
        hang, silence = HangWatch(trainer.log), SilenceWatch(trainer.log, self.launch.silence)
        while trainer.poll() is None:
            for server in servers:
                if server.poll() is not None:
                    raise self._critic_died(server)
            if hang.failed():
                raise failure(f"{self.what}: the program failed", trainer)
            if silence.is_too_long():
                raise self._stalled(trainer, servers)
            progress.look(trainer, entry)
            progress.show()
            self.kept.look()
            if servers:
                self.pairs.look()
            time.sleep(POLL)
        progress.look(trainer, entry)
        progress.show(last=True)
        self.kept.look()
        if trainer.poll() in TERMINATED:
            raise SystemExit(143)  # with this job: its end is on its way to us, too
        if trainer.poll() != 0 and not is_whole(self.trained):
            if not answers():
                raise self._critic_died(servers[0])
            raise failure(f"{self.what}: the program ended with code {trainer.poll()}", trainer)

    def _stalled(self, trainer: Program, servers: Sequence[Program]) -> UserError:
        """The error of a program, or of its critic, that waits for ever."""
        reached = newest(self.folder / "train")
        beside = "".join(f"; the critic's log: {server.log}" for server in servers)
        return failure(
            f"{self.what}: the program said nothing for {self.launch.silence:g} minutes and was "
            f"ended (resource stop_if_silent), {_at(reached)}; the next run goes on from "
            f"there{beside}",
            trainer,
        )

    def _critic_died(self, server: Program) -> UserError:
        return failure(f"{self.what}: the critic server died", server)

    def _publish(self) -> None:
        runs = {"": self.folder / "train", "critic/": self.folder / "critic"}
        export_metrics(runs, self.output.with_suffix(".metrics.csv"))
        for archive in self._archives:
            complete(self.trained, archive)
        learnt = self._merge() if holds_adapters(self.trained) else {}
        if not learnt:
            publish(self.trained, self.output)
        write_manifest(
            self.output,
            what=self.what,
            fingerprint=self.fingerprint,
            inputs=self.input_digests,
            command=list(self.command),
            critic=list(self.critic or []),
            software=software.software() | {"nemo": software.nemo(self.command, self.launch)},
            **self.attempts.cost(),
            attempts=self.attempts.entries,
            container=self.launch.container,
            **learnt,
        )
        self._tidy()

    def _merge(self) -> dict[str, dict[str, str]]:
        """Publish a whole model in the place of adapters; returns what its manifest says of it."""
        log = self.log.with_name(f"{self.log.stem}.merge.log")
        base = merge(self.command, self.trained, self.output, self.launch, log, self.what)
        return {"merged": {"base": str(base), "adapters": file_digest(self.trained)}}

    def _tidy(self) -> None:
        """Remove trainings with other settings that are done, and name those that are not."""
        for other in sorted(self.work.iterdir()):
            if not other.is_dir() or other == self.folder:
                continue
            reached = newest(other / "train")
            if reached is None or is_whole(other / self.trained.relative_to(self.folder)):
                shutil.rmtree(other)
                continue
            print(
                f"{self.what}: a training with other settings stopped {_at(reached)}; it is kept "
                f"and goes on with those settings; it takes {size_of(other) / 1e9:.2f} GB, free "
                f"them with: rm -r {shlex.quote(str(other))}",
                flush=True,
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a work folder: two would take each other's checkpoints away.

    The lock is advisory and ends with this process. One that was orphaned, because Snakemake alone
    was killed, holds it until it is done.

    Raises:
        UserError: if another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder}: another process trains here; wait for it, or end it"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


def publish(source: Path, target: Path) -> None:
    """Put ``source`` at ``target`` in one step, keeping ``source`` (a hard link where possible)."""
    with partial(target) as path:
        link(source, path)


def _fill(argument: str, fills: Mapping[str, str]) -> str:
    key, equals, value = argument.partition("=")
    if equals and value.partition("/")[0] == LOG_DIR:  # a path, in Hydra's grammar
        return f"{key}={overrides.value(value.replace(LOG_DIR, fills[LOG_DIR], 1))}"
    for token, text in fills.items():
        argument = argument.replace(token, text)
    return argument


def _from(checkpoint: Path | None) -> str:
    return "starts" if checkpoint is None else f"resumes at step {step(checkpoint)}"


def _at(checkpoint: Path | None) -> str:
    return "before its first checkpoint" if checkpoint is None else f"at step {step(checkpoint)}"


def _clock(seconds: int) -> str:
    """As NeMo reads a duration: days, hours, minutes, seconds."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24:02}:{hours % 24:02}:{minutes:02}:{seconds:02}"
