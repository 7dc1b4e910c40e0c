"""A genuine SLURM on one machine, for tests: a controller, accounting in MariaDB, and virtual nodes with fake GPUs.

::

    with Cluster(folder) as cluster:
        subprocess.run(["sbatch", ...], env=cluster.environment)

``python -m scripts.slurm.cluster FOLDER`` keeps one up until Ctrl-C. Needs the packages of install.sh, and no root.
The daemons die with the process that started them.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from scripts.slurm.settings import Settings, free_ports

START_SECONDS = 60.0
STOP_SECONDS = 15.0
_CALL_SECONDS = 60.0
_POLL_SECONDS = 0.05
_SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"  # where daemons are, which a user's PATH may leave out


class ClusterError(RuntimeError):
    """The cluster did not do what it was told within its time; with what its daemons logged."""


class Cluster:
    """A SLURM cluster in a folder of its own; a context manager.

    Args:
        folder: holds everything; made if missing. Sockets are in it, so its path must be short.
        settings: fields of `Settings` that differ.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder.resolve()
        self.settings = Settings(self.folder, **settings)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that talks to this cluster: this process's, without what a job leaves in it."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SUBMITIT_"))
        }
        path = f"{inherited.get('PATH', '')}:{_SYSTEM_PATH}"
        return inherited | {"SLURM_CONF": str(self.folder / "etc/slurm.conf"), "PATH": path}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts every daemon and waits until all nodes are idle.

        Raises:
            ClusterError: it did not come up.
        """
        self.settings = replace(self.settings, ports=free_ports(3 + self.settings.nodes))
        self.settings.write()
        self._start_database()
        self._start_accounting()
        self._add_accounts()
        self._start_controller()
        for node in self.settings.names:
            self._start_daemon(f"slurmd-{node}", "slurmd", "-D", "-N", node)
        self.wait("all nodes are idle", lambda: set(self.node_states().values()) == {"idle"})

    def stop(self) -> None:
        """Ends all jobs and daemons; safe to call twice and when the start failed."""
        if "slurmctld" in self._daemons:
            with suppress(ClusterError, subprocess.SubprocessError):
                self.call("scancel", "--full", "--user", getpass.getuser(), check=False)
        for name in sorted(self._daemons, key=_order_of_ending):
            self._stop_daemon(name)
        for pid in self._processes():  # a step outlives its slurmd
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def call(self, *command: str, check: bool = True, extra: Mapping[str, str] | None = None) -> str:
        """What a command prints, run against this cluster.

        Raises:
            ClusterError: it failed, or took too long.
        """
        try:
            done = subprocess.run(
                command,
                env=self.environment | dict(extra or {}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_CALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"{' '.join(command)}: no answer within {_CALL_SECONDS:.0f} s") from error
        if check and done.returncode:
            raise ClusterError(f"{' '.join(command)}: status {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def wait(self, what: str, holds: Callable[[], object], seconds: float = START_SECONDS) -> None:
        """Waits until a condition holds.

        Raises:
            ClusterError: it did not within the time.
        """
        end = time.monotonic() + seconds
        while not holds():
            for name, process in self._daemons.items():
                if process.poll() is not None:
                    raise ClusterError(f"{name} has ended while waiting until {what}\n{self.logs()}")
            if time.monotonic() > end:
                raise ClusterError(f"not within {seconds:.0f} s: {what}\n{self.logs()}")
            time.sleep(_POLL_SECONDS)

    def logs(self, lines: int = 15) -> str:
        """The last lines of every daemon's log."""
        parts = []
        for file in sorted((self.folder / "log").glob("*.log")):
            text = file.read_text(errors="replace").splitlines()[-lines:]
            parts.append(f"--- {file.name}\n" + "\n".join(text))
        return "\n".join(parts)

    def node_states(self) -> dict[str, str]:
        """The state of each node, as sinfo writes it; empty while the controller does not answer."""
        lines = self.call("sinfo", "--noheader", "--Node", "--format=%N %T", check=False).splitlines()
        return {line.split()[0]: line.split()[1] for line in lines}

    def node_down(self, node: str) -> None:
        """Takes a node down, as if it had crashed: its jobs end with NODE_FAIL, or are queued again."""
        self.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")

    def node_up(self, node: str) -> None:
        """Brings a node back once the steps that ran on it have died; otherwise SLURM would drain it."""
        self.wait(f"the steps on {node} have died", lambda: not self._steps_on(node))
        self.call("scontrol", "update", f"NodeName={node}", "State=RESUME")
        self.wait(f"{node} is back", lambda: self.node_states().get(node) in {"idle", "mixed", "allocated"})

    def _steps_on(self, node: str) -> list[str]:
        """What lives of jobs on a node: a step's keeper has a socket, and the node's name is in its processes."""
        sockets = [path.name for path in (self.folder / "spool" / node).glob(f"{node}_*")]
        processes = [pid for pid in self._processes() if _environment_of(pid).get("SLURMD_NODENAME") == node]
        return sockets + [str(pid) for pid in processes]

    @contextmanager
    def controller_down(self) -> Iterator[None]:
        """The controller is gone while this lasts, then starts again; jobs go on."""
        self._stop_daemon("slurmctld")
        try:
            yield
        finally:
            self._start_controller()

    @contextmanager
    def accounting_down(self) -> Iterator[None]:
        """`sacct` fails while this lasts; the controller keeps what it has to say for later."""
        self._stop_daemon("slurmdbd")
        try:
            yield
        finally:
            self._start_accounting()

    def _start_database(self) -> None:
        data, options = self.folder / "sql", ["--no-defaults"]
        as_root = ["--user=root"] if os.getuid() == 0 else []
        if not (data / "mysql").is_dir():
            data.mkdir(parents=True, exist_ok=True)
            install = ["mariadb-install-db", *options, *as_root, f"--datadir={data}"]
            self.call(*install, "--skip-test-db", "--auth-root-authentication-method=normal")
        self._start_daemon(
            "mariadbd",
            "mariadbd",
            *options,
            *as_root,
            f"--datadir={data}",
            f"--socket={data}/m.sock",
            f"--pid-file={data}/m.pid",
            f"--port={self.settings.ports[2]}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-lock-wait-timeout=900",
        )
        client = ["mariadb", *options, "-uroot", f"--socket={data}/m.sock", "-e"]
        self.wait("the database answers", lambda: self._succeeds(*client, "select 1"))
        self.call(
            *client,
            "create database if not exists slurm_acct_db;"
            "create user if not exists slurm@'127.0.0.1' identified by 'slurm';"
            "grant all on slurm_acct_db.* to slurm@'127.0.0.1'",
        )

    def _start_accounting(self) -> None:
        self._start_daemon("slurmdbd", "slurmdbd", "-D")
        self.wait("the accounting listens", lambda: _listens(self.settings.ports[1]))
        self.wait("the accounting answers", lambda: self._succeeds("sacctmgr", "-n", "show", "cluster"))

    def _add_accounts(self) -> None:
        """The cluster, the account `lab` and this user in it, and the QOS `few`: two tasks in the queue at once."""
        for what in (
            ("cluster", "lab"),
            ("account", "lab", "cluster=lab"),
            ("qos", "few", "MaxSubmitJobsPerUser=2"),
            ("user", getpass.getuser(), "account=lab", "cluster=lab"),
        ):
            self.call("sacctmgr", "-i", "add", *what, check=False)  # fails where it is there already
        user = ("user", getpass.getuser(), "set", "qos=normal,few", "defaultqos=normal")
        self.call("sacctmgr", "-i", "modify", *user)

    def _start_controller(self) -> None:
        self._start_daemon("slurmctld", "slurmctld", "-D")
        self.wait("the controller answers", lambda: " is UP" in self.call("scontrol", "ping", check=False))

    def _succeeds(self, *command: str) -> bool:
        try:
            self.call(*command)
        except ClusterError:
            return False
        return True

    def _start_daemon(self, name: str, *command: str) -> None:
        """In a session of its own, so that Ctrl-C reaches the tests alone; told to end when this process dies."""
        program = shutil.which(command[0], path=self.environment["PATH"])
        if program is None:
            raise ClusterError(f"{command[0]} is not installed; scripts/slurm/install.sh installs it")
        with (self.folder / "log" / f"{name}.out.log").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", program, *command[1:]],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _stop_daemon(self, name: str) -> None:
        process = self._daemons.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

    def _processes(self) -> list[int]:
        """Processes that were started within the cluster: steps and what runs in them, and daemons.

        Not those of a user's shell that merely talks to it.
        """
        ours = self.environment["SLURM_CONF"]
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        known = {process.pid for process in self._daemons.values()} | {os.getpid()}
        return [pid for pid in numbers if pid not in known and _is_inside(pid, ours)]


def _order_of_ending(daemon: str) -> int:
    """Nodes, controller, accounting, database."""
    order = ("slurmd-", "slurmctld", "slurmdbd", "mariadbd")
    return next(number for number, start in enumerate(order) if daemon.startswith(start))


def _is_inside(pid: int, configuration: str) -> bool:
    """Whether a process belongs to a cluster: it is of a job, or a daemon such as slurmstepd."""
    environment = _environment_of(pid)
    if environment.get("SLURM_CONF") != configuration:
        return False
    if {"SLURM_JOB_ID", "SLURMD_NODENAME"} & environment.keys():
        return True
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("slurm")
    except OSError:
        return False


def _environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty if it is gone or not ours."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(line.partition("=")[::2] for line in text.split("\0") if line)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def main() -> int:
    """Keeps a cluster up until Ctrl-C or TERM."""
    parser = argparse.ArgumentParser(prog="python -m scripts.slurm.cluster", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="a new one with a short path; holds everything")
    folder = parser.parse_args().folder
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), Cluster(folder) as cluster:
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
        print("partitions low (preempted) and high, account lab; Ctrl-C stops it", file=sys.stderr)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
