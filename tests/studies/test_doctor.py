"""`wm doctor`: what it says of SLURM, and of a node by a job there."""

from dataclasses import replace

import pytest

from harness.devices import Devices, EglDevice, Gpu
from studies import doctor, doctor_node, doctor_slurm
from studies.cluster.profile import Profile, read_profile
from studies.cluster.slurm import Slurm
from studies.cluster.types import Limits, Partition, Queued
from studies.doctor_node import Look, examine_node, resources
from studies.findings import Finding
from tests.studies.cluster.programs import refuses, says, stand_in
from tests.studies.cluster.test_limits import CONFIGURATION, PARTITIONS


@pytest.fixture
def program(tmp_path, monkeypatch):
    return stand_in(tmp_path, monkeypatch)


@pytest.fixture
def works(program):
    """A cluster where all is well."""
    program("scontrol", says(CONFIGURATION))
    program("sinfo", says(PARTITIONS))
    program("squeue", "true")
    program("sacct", "true")
    program("sacctmgr", "true")
    return program


def found():
    """What the doctor says of SLURM, by name."""
    return {finding.name: finding for finding in doctor_slurm.examine(Slurm())}


def test_a_cluster_where_all_is_well(works):
    findings = found()
    assert [name for name, finding in findings.items() if not finding.ok] == ["slurm nodes"]
    assert findings["slurm controller"].detail.endswith("SLURM 22.05.8")
    assert findings["slurm partitions"].detail == (
        "low (default): no time limit, 2 nodes with up to 2 GPUs and 16 GB; "
        "short: 0.5 h, 1 node with up to 4 GPUs and 500 GB; down: down"
    )
    assert findings["slurm limits"].detail.startswith(
        "1001 tasks in an array (MaxArraySize=1001), 10000 tasks"
    )
    assert "wm doctor --job" in findings["slurm nodes"].remedy


def test_in_a_job_no_job_is_offered(works, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert "slurm nodes" not in found()


def test_without_slurm_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(found().values()) == [
        Finding("slurm", ok=True, detail="none here; wm submit --executor local uses this machine")
    ]


def test_half_a_client(works, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin" / "sbatch").unlink()
    (tmp_path / "bin" / "srun").unlink()
    [finding] = found().values()
    assert not finding.ok
    assert finding.detail == "no sbatch, srun"


def test_a_silent_controller(works):
    works(
        "scontrol", refuses("slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)")
    )
    [finding] = found().values()
    assert (finding.name, finding.ok, finding.needed) == ("slurm controller", False, False)
    assert "Unable to contact" in finding.detail
    assert finding.remedy


def test_accounting_that_is_not_there_and_that_does_not_answer(works):
    works("sacct", refuses("Slurm accounting storage is disabled"))
    assert found()["slurm accounting"].detail == "there is none"
    works("sacct", refuses("sacct: error: Problem talking to the database: Connection refused"))
    assert found()["slurm accounting"].detail == "sacct does not answer"


def test_a_queue_that_does_not_answer_and_partitions_that_are_down(works):
    works("squeue", refuses("slurm_load_jobs error: Socket timed out"))
    works("sinfo", says("low*|down|infinite|1|(null)\n"))
    findings = found()
    assert {name for name, finding in findings.items() if not finding.ok} == {
        "slurm queue",
        "slurm partitions",
        "slurm nodes",
    }
    assert all(finding.remedy for finding in findings.values() if not finding.ok)


def test_partitions_say_what_a_node_has(works):
    works("sinfo", says("low*|up|infinite|2|(null)|2048\n"))
    assert found()["slurm partitions"].detail == (
        "low (default): no time limit, 2 nodes without GPUs with up to 2 GB"
    )


def test_in_a_job_it_says_what_the_job_has(monkeypatch):
    monkeypatch.setattr("studies.machine.cores", lambda: 16)
    monkeypatch.setattr("studies.machine.memory_gb", lambda: 64.0)
    assert next(doctor._hardware()).detail == "16 cores, 64 GB"
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "1")
    assert next(doctor._hardware()).detail == "this job has 1 core; seen are 16 cores, 64 GB"
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "4096")
    assert next(doctor._hardware()).detail == "this job has 1 core, 4 GB; seen are 16 cores, 64 GB"


def test_many_partitions_are_cut(works):
    works("sinfo", says("".join(f"p{i}|up|infinite|1|(null)\n" for i in range(20))))
    assert found()["slurm partitions"].detail.endswith("p11: no time limit, 1 node without GPUs; and 8 more")


@pytest.mark.parametrize(
    ("configuration", "ok", "words"),
    [
        ({"PreemptType": "preempt/none"}, True, "no job makes room"),
        ({}, True, "no job makes room"),
        ({"PreemptType": "preempt/qos", "PreemptMode": "REQUEUE"}, True, "checkpoint_minutes"),
        (
            {
                "PreemptType": "preempt/partition_prio",
                "PreemptMode": "GANG,REQUEUE",
                "SlurmctldParameters": "preempt_send_user_signal",
            },
            True,
            "USR2",
        ),
        ({"PreemptType": "preempt/qos", "PreemptMode": "CANCEL"}, False, "are cancelled"),
    ],
)
def test_preemption(configuration, ok, words):
    finding = doctor_slurm.preemption(configuration)
    assert finding.ok is ok
    assert words in finding.detail


def test_requeueing():
    assert "after a node failure" in doctor_slurm.requeueing({"JobRequeue": "1"}).detail
    assert "those of wm do" in doctor_slurm.requeueing({"JobRequeue": "0"}).detail


class Cluster:
    """Runs a job as it is asked for the queue the second time."""

    def __init__(self, *, breaks=False):
        self.order = None
        self.asked = 0
        self.cancelled = []
        self.breaks = breaks

    def submit(self, order):
        self.order = order
        return "7"

    def queue(self):
        self.asked += 1
        if self.asked == 1:
            return {"7": Queued("PENDING", "Priority", "", self.order.name)}
        if self.breaks:
            (self.order.folder / "logs").mkdir(exist_ok=True)
            (self.order.folder / "logs" / "7_0_log.err").write_text("module: not found\n")
            return {}
        Look(str(self.order.folder), 0, 0)()
        return {"7": Queued("RUNNING", "", "n1", self.order.name)}

    def limits(self):
        partitions = [Partition("cpu", True, None, 2, 0), Partition("gpu", False, 24.0, 2, 4)]
        return Limits(1001, None, {one.name: one for one in partitions})

    def cancel(self, keys):
        self.cancelled += keys


@pytest.fixture
def quick(monkeypatch):
    """No waiting, and little to examine."""
    monkeypatch.setattr(doctor_node, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(doctor_node, "_LAG_SECONDS", 0.05)
    monkeypatch.setattr(
        doctor, "examine", lambda runs: iter([Finding("gpu", False, f"none, {runs}", "buy one")])
    )
    monkeypatch.setenv("SLURMD_NODENAME", "n1")


def test_a_node_is_examined_by_a_job(tmp_path, quick, capsys):
    cluster = Cluster()
    runs = tmp_path / "runs"
    first, second = examine_node(runs, cluster, Profile())
    assert first == Finding("node", True, f"job 7 ran on n1 and sees {runs}")
    assert second == Finding("n1: gpu", False, f"none, {runs}", "buy one")
    assert "job 7: pending Priority" in capsys.readouterr().err
    assert list(runs.iterdir()) == []
    assert cluster.cancelled == []
    assert cluster.order.call == "studies.doctor_node:Look"
    assert cluster.order.environment["PYTHONSAFEPATH"] == "1"


def test_a_node_that_says_nothing(tmp_path, quick):
    [finding] = examine_node(tmp_path, Cluster(breaks=True), Profile())
    assert not finding.ok
    assert "module: not found" in finding.detail
    assert f"does the node see {tmp_path}" in finding.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_nobody_waits_for_is_cancelled(tmp_path, quick, monkeypatch):
    cluster = Cluster()
    monkeypatch.setattr(cluster, "queue", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        list(examine_node(tmp_path, cluster, Profile()))
    assert cluster.cancelled == ["7"]
    assert list(tmp_path.iterdir()) == []


def test_the_job_takes_what_the_profile_says_and_a_gpu_where_there_is_one(tmp_path):
    file = tmp_path / "profile.yaml"
    file.write_text(
        "resources: {default: {partition: gpu, account: me, hours: 48, setup: module load cuda}}\n"
    )
    asked = resources(Cluster(), read_profile(file))
    assert (asked.partition, asked.account, asked.setup) == ("gpu", "me", "module load cuda")
    assert (asked.gpus, asked.hours) == (1, 0.25)
    assert resources(Cluster(), Profile()).gpus == 0


def test_the_command(wm, monkeypatch):
    answers = [Finding("a", True, "works"), Finding("b", False, "so so", "try", needed=False)]
    monkeypatch.setattr(doctor, "examine", lambda runs: iter(answers))
    status, out, _ = wm("doctor")
    assert status == 0
    assert "ok   a: works" in out
    assert "note b: so so\n       remedy: try" in out
    broken = [replace(answers[0], ok=False, remedy="mend it")]
    monkeypatch.setattr(doctor_node, "examine_node", lambda runs, cluster, profile: iter(broken))
    status, out, _ = wm("doctor", "--job")
    assert status == 1
    assert "FAIL a: works\n       remedy: mend it" in out


def test_a_job_on_a_machine_without_slurm(wm, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "examine", lambda runs: iter([]))
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, err = wm("doctor", "--job")
    assert status == 2
    assert "--executor local" in err


GPU = Gpu("H100", ("ab" * 16,), "0000:17:00.0")


@pytest.mark.parametrize(
    ("seen", "asked", "ok", "words"),
    [
        (Devices(GPU, (EglDevice(0, 1, "0000:05:00.0"), EglDevice(1, 0, GPU.pci))), None, True, "1 is H100"),
        (Devices(GPU, (EglDevice(0, 1, "0000:05:00.0"), EglDevice(1, 0, GPU.pci))), "1", True, "1 is H100"),
        (Devices(GPU, (EglDevice(0, 1, "0000:05:00.0"), EglDevice(1, 0, GPU.pci))), "0", False, "is 1"),
        (Devices(GPU, (EglDevice(0, None),)), None, False, "EGL does not know H100"),
        (Devices(GPU), None, False, "EGL does not know H100"),
    ],
)
def test_the_egl_device_is_the_gpu_that_cuda_has(monkeypatch, seen, asked, ok, words):
    monkeypatch.delenv("MUJOCO_EGL_DEVICE_ID", raising=False)
    if asked:
        monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", asked)
    monkeypatch.setattr("harness.devices.look", lambda: seen)
    [finding] = doctor._drawing_gpu()
    assert (finding.ok, finding.needed) == (ok, False)
    assert words in finding.detail
    assert finding.ok == (not finding.remedy)


def test_without_a_gpu_nothing_is_said_of_its_egl_device(monkeypatch):
    monkeypatch.setattr("harness.devices.look", Devices)
    assert list(doctor._drawing_gpu()) == []


def test_the_whole_doctor(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.tasks.rendering.check_rendering", list)
    monkeypatch.setenv("PATH", str(tmp_path))
    names = {finding.name for finding in doctor.examine(tmp_path / "runs")}
    assert names >= {"python", "packages", "torch", "disk", "clock", "slurm"}
    assert not (tmp_path / "runs").exists()
