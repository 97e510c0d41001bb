"""A Slurm of one machine: controller, nodes with GPUs that are none, and an end to them.

Debian's packages are enough (slurmctld, slurmd, slurm-client, munge), without systemd, as root.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
SYSTEM = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
NODES = {"n0": ("/dev/null", "/dev/zero"), "n1": ("/dev/full",)}  # what stands for their GPUs
CONTROLLER = "slurmctld.pid"
PATIENCE = 60  # seconds

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/{controller}
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/prolog
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/ended.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=2
MinJobAge=300
SchedulerParameters=sched_interval=2,bf_interval=2,requeue_delay=1
GresTypes=gpu
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# Of the time, the node, the job and the device of every step, as the step itself sees them.
PROLOG = """\
#!/bin/sh
device=${{CUDA_VISIBLE_DEVICES:-none}}
echo "$(date +%s) $SLURMD_NODENAME $SLURM_JOB_ID $device" >> '{folder}/steps.txt'
"""


def why_not() -> str:
    """Return why no Slurm can be started here, '' if it can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: slurmctld slurmd slurm-client munge)"
    if os.geteuid() != 0:
        return "only root can start Slurm's daemons"
    _remove_what_a_killed_one_left()
    if any(os.path.lexists(SYSTEM / file) for file in FILES):
        return f"{SYSTEM} has a configuration: this machine has a Slurm of its own"
    return ""


def _remove_what_a_killed_one_left() -> None:
    for file in FILES:
        link = SYSTEM / file
        if link.is_symlink() and not _is_alive(link.resolve().parent / CONTROLLER):
            link.unlink()


def _is_alive(number: Path) -> bool:
    """Return whether the process lives whose number stands in the file."""
    try:
        os.kill(int(number.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


class Ended(NamedTuple):
    """What the controller keeps of a job, or of one try of it, that ended."""

    job: int
    state: str
    start: float
    end: float


class Step(NamedTuple):
    """What a step saw when it began."""

    time: float
    node: str
    job: int
    devices: str


class Slurm:
    """A running cluster, within a ``with`` block.

    Parameters
    ----------
    folder : Path
        For its files, which root alone may write.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "Slurm":
        self._configure()
        try:
            self._start("munged", "--foreground", "--force", *self._options_of_munge())
            _wait(lambda: (self.folder / "munge.socket").exists(), "munge did not start")
            self._start("slurmctld", "-D", "-i")
            for node in NODES:
                self.start(node)
            _wait(lambda: self.states() == ["idle"] * len(NODES), "the nodes did not come up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        with suppress(subprocess.SubprocessError):
            subprocess.run(["scancel", "--user=root"], timeout=10, capture_output=True)
            _wait(lambda: not _ask("squeue", "--noheader"), "jobs did not end")
        for name in reversed(list(self._daemons)):
            self._stop(name, signal.SIGTERM)
        for file in FILES:  # else every client would look for the controller, ten seconds long
            with suppress(FileNotFoundError):
                (SYSTEM / file).unlink()

    def start(self, node: str) -> None:
        """Start a node's daemon."""
        self._start("slurmd", "-D", "-N", node, name=node)

    def kill(self, node: str) -> None:
        """Kill a node's daemon as it stands."""
        self._stop(node, signal.SIGKILL)

    @contextmanager
    def paused(self, job: int) -> Iterator[None]:
        """Let a job's processes stand still meanwhile; it cannot end before what happens to it."""
        stopped: set[int] = set()
        while new := _processes_of(job) - stopped:  # one may have begun another
            _send(signal.SIGSTOP, new)
            stopped |= new
        try:
            yield
        finally:
            _send(signal.SIGCONT, stopped)

    def states(self) -> list[str]:
        """Return the states of the nodes, in their order."""
        return _ask("sinfo", "--Node", "--noheader", "--format=%t").split()

    def running(self) -> dict[int, str]:
        """Return the nodes of the jobs that run."""
        lines = _ask("squeue", "--noheader", "--states=R", "--format=%i %N").splitlines()
        return {int(job): node for job, node in map(str.split, lines)}

    def ended(self) -> list[Ended]:
        """Return the jobs that ended, in that order."""
        text = (self.folder / "ended.txt").read_text()
        return [_ended(line) for line in text.splitlines()]

    def steps(self) -> list[Step]:
        """Return the steps that began, in that order."""
        lines = (self.folder / "steps.txt").read_text().splitlines()
        fields = [line.split() for line in lines]
        return [Step(float(at), node, int(job), devices) for at, node, job, devices in fields]

    def _configure(self) -> None:
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        port, *ports = _free_ports(1 + len(NODES))
        nodes = [
            f"NodeName={node} NodeAddr=127.0.0.1 Port={port} CPUs=8 CoresPerSocket=8 "
            f"RealMemory=64000 Gres=gpu:{len(NODES[node])}"
            for node, port in zip(NODES, ports, strict=True)
        ]
        devices = [
            f"NodeName={node} Name=gpu File={file}" for node in NODES for file in NODES[node]
        ]
        text = {
            "slurm.conf": CONFIGURATION.format(
                host=socket.gethostname(),
                port=port,
                folder=self.folder,
                controller=CONTROLLER,
                nodes="\n".join(nodes),
            ),
            "gres.conf": "\n".join([*devices, ""]),
            "cgroup.conf": "CgroupPlugin=cgroup/v1\n",
            "prolog": PROLOG.format(folder=self.folder),
        }
        for name, content in text.items():
            (self.folder / name).write_text(content)
        (self.folder / "prolog").chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        SYSTEM.mkdir(exist_ok=True)
        for file in FILES:  # srun in a job is given no SLURM_CONF by the plugin
            (SYSTEM / file).symlink_to(self.folder / file)

    def _options_of_munge(self) -> list[str]:
        files = {"socket": "munge.socket", "key-file": "munge.key", "log-file": "munge.log",
                 "pid-file": "munge.pid", "seed-file": "munge.seed"}  # fmt: skip
        return [f"--{option}={self.folder / file}" for option, file in files.items()]

    def _start(self, *command: str, name: str = "") -> None:
        name = name or command[0]
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def _stop(self, name: str, number: signal.Signals) -> None:
        process = self._daemons.pop(name)
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _processes_of(job: int) -> set[int]:
    mark, found = f"SLURM_JOB_ID={job}".encode(), set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
    return found


def _send(number: signal.Signals, processes: set[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _ask(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()


def _wait(condition, problem: str, patience: float = PATIENCE) -> None:
    """Wait until `condition` holds; what it asks may fail meanwhile."""
    end = time.monotonic() + patience
    while True:
        with suppress(subprocess.SubprocessError, OSError):
            if condition():
                return
        if time.monotonic() > end:
            raise TimeoutError(problem)
        time.sleep(0.5)


def _ended(line: str) -> Ended:
    fields = dict(re.findall(r"(\w+)=(\S*)", line))
    start, end = (
        datetime.fromisoformat(fields[name]).timestamp() for name in ("StartTime", "EndTime")
    )
    return Ended(int(fields["JobId"]), fields["JobState"], start, end)
