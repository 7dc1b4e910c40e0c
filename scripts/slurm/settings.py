"""The configuration files of a private SLURM on one machine: no root and no munge at run time."""

from __future__ import annotations

import getpass
import random
import socket
from dataclasses import dataclass, field
from pathlib import Path

_PORTS = range(20000, 30000)  # below the range that Linux hands out to outgoing connections


def free_ports(number: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now."""
    found: list[int] = []
    for port in random.Random().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == number:
            return found
    raise RuntimeError(f"fewer than {number} ports are free")


@dataclass(frozen=True)
class Settings:
    """What a cluster looks like.

    Attributes:
        nodes, cpus, memory_mb, gpus: virtual nodes, and what each claims to have; all share this machine.
        max_array_size: SLURM's MaxArraySize: the largest index of an array is one less.
        max_jobs: SLURM's MaxJobCount.
        hours: time limit of the partitions `low` and `high`.
        ports: of the controller, the accounting, the database, and each node.
    """

    folder: Path
    nodes: int = 4
    cpus: int = 4
    memory_mb: int = 8000
    gpus: int = 2
    max_array_size: int = 1001
    max_jobs: int = 10000
    hours: int = 48
    ports: list[int] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The nodes."""
        return [f"n{number}" for number in range(1, self.nodes + 1)]

    def write(self) -> None:
        """Makes the folder and all files in it."""
        folder = self.folder
        for name in ("etc", "run", "log", "dev", "spool/ctld", *(f"spool/{node}" for node in self.names)):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "spool/ctld").chmod(0o700)
        for number in range(self.gpus):  # a GPU is a character device whose name ends with its number
            (folder / f"dev/gpu{number}").unlink(missing_ok=True)
            (folder / f"dev/gpu{number}").symlink_to("/dev/null")
        (folder / "etc/slurm.conf").write_text(self._slurm() + self._nodes())
        (folder / "etc/gres.conf").write_text(self._gres())
        (folder / "etc/cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        database = folder / "etc/slurmdbd.conf"
        database.write_text(self._slurmdbd())
        database.chmod(0o600)

    def _slurm(self) -> str:
        folder, user = self.folder, getpass.getuser()
        return f"""\
ClusterName=lab
SlurmctldHost={_host()}(127.0.0.1)
SlurmctldPort={self.ports[0]}
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/spool/ctld
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
# no munge; every local user is trusted, so everything listens on the loopback interface only
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
# a job that was requeued waits cred_expire + 1 seconds; 5 is the least that is accepted
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=1
KillWait=5
MessageTimeout=30
SlurmdTimeout=300
BatchStartTimeout=60
MaxArraySize={self.max_array_size}
MaxJobCount={self.max_jobs}
EnforcePartLimits=ALL
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={self.ports[1]}
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations,limits,qos
"""

    def _nodes(self) -> str:
        has = f"CPUs={self.cpus} RealMemory={self.memory_mb} Gres=gpu:{self.gpus} State=UNKNOWN"
        lines = [
            f"NodeName={name} NodeHostname={_host()} NodeAddr=127.0.0.1 Port={port} {has}"
            for name, port in zip(self.names, self.ports[3:], strict=True)
        ]
        limits = f"Nodes=ALL MaxTime={self.hours * 60} DefaultTime=10 State=UP"
        lines += [
            f"PartitionName=low Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 {limits}",
            f"PartitionName=high PriorityTier=10 PreemptMode=OFF {limits}",
        ]
        return "\n".join(lines) + "\n"

    def _gres(self) -> str:
        devices = "".join(
            f"NodeName={name} Name=gpu File={self.folder}/dev/gpu{number}\n"
            for name in self.names
            for number in range(self.gpus)
        )
        return devices or "# no GPUs\n"

    def _slurmdbd(self) -> str:
        return f"""\
AuthType=auth/none
CommunicationParameters=NoInAddrAny
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={self.ports[1]}
SlurmUser={getpass.getuser()}
LogFile={self.folder}/log/slurmdbd.log
PidFile={self.folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={self.ports[2]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CommitDelay=0
"""


def _host() -> str:
    return socket.gethostname().partition(".")[0]
