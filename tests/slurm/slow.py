"""What takes SLURM minutes (it looks at time limits every 30 s): driven by threads while the other tests run."""

from concurrent.futures import Future, ThreadPoolExecutor

from harness.rundir import RunDir
from tests.harness.runs import tiny_config
from tests.slurm import doings
from tests.slurm.lab import Lab, Study

LIMIT_NODE, REAL_NODE = "n3", "n4"
SECONDS = 400.0
MINUTE = 0.016  # in hours: a little less than the shortest time limit that SLURM knows

_SECTIONS = {"env", "train", "exploration", "planner", "evaluation", "runtime", "storage"}
REAL = tiny_config(train__episodes=6).model_dump(mode="json", exclude_unset=True, include=_SECTIONS)
PREEMPTED, REQUEUED, NODE_LOST, TIMED_OUT = 2, 9, 15, 22
"""Lines of metrics.jsonl, of 29, at which the real run stands still until this has been done to it."""


class Slow:
    """Scenarios that have begun; `result` of a future waits for its end."""

    def __init__(self, lab: Lab) -> None:
        self._threads = ThreadPoolExecutor(max_workers=4)
        self.limits: Future[Study] = self._threads.submit(_limits, lab)
        self.disturbed: Future[Study] = self._threads.submit(_disturbed, lab)
        self.undisturbed: Future[RunDir] = self._threads.submit(_undisturbed, lab)

    def close(self) -> None:
        """Lets no thread begin anything more."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _limits(lab: Lab) -> Study:
    """Runs longer than their time limit: one that heeds the signal, one that does not."""
    study = lab.study(
        "limits", ["long", "stubborn"], resources={"hours": MINUTE, "nodelist": LIMIT_NODE}
    ).submit()
    return study.settled(SECONDS)


def _undisturbed(lab: Lab) -> RunDir:
    """The real run in the pool of this machine, in another RUNS."""
    study = _real(lab, "undisturbed")
    elsewhere = lab.home / "elsewhere"
    (elsewhere / study.name).mkdir(parents=True)
    (elsewhere / study.name / "gates").touch()
    study.wm("run", str(study.file), "--workers", "1", WM_RUNS=str(elsewhere))
    (run,) = (elsewhere / study.name / "runs").iterdir()
    return RunDir(run)


def _disturbed(lab: Lab) -> Study:
    """The real run, to which everything happens that may happen to a job."""
    study = _real(lab, "disturbed")
    study.path.mkdir(parents=True)
    (study.path / "gates").write_text(f"{PREEMPTED}\n{REQUEUED}\n{NODE_LOST}\n{TIMED_OUT}\n")
    study.submit()
    job = study.job_of("real")

    _stands(study, PREEMPTED)
    whole_node = [f"--nodelist={REAL_NODE}", "--exclusive", "--account=lab", "--output=/dev/null"]
    lab.cluster.call("sbatch", "--wait", "--partition=high", *whole_node, "--wrap=true")
    _goes_on(study, PREEMPTED, attempts=2)

    _stands(study, REQUEUED)
    lab.cluster.call("scontrol", "requeue", job)
    _goes_on(study, REQUEUED, attempts=3)

    _stands(study, NODE_LOST)
    lab.cluster.node_down(REAL_NODE)
    lab.cluster.node_up(REAL_NODE)
    _goes_on(study, NODE_LOST, attempts=4)

    _stands(study, TIMED_OUT)
    lab.cluster.call("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    lab.until("the time limit has been signalled", lambda: len(study.did("real")) == 5, SECONDS)
    lab.cluster.call("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    _goes_on(study, TIMED_OUT, attempts=5)
    return study.settled(SECONDS)


def _real(lab: Lab, name: str) -> Study:
    where = {"nodelist": REAL_NODE, "memory_gb": 2}
    return lab.study(name, ["real"], base=REAL, resources=where, execute=doings.PACED)


def _stands(study: Study, gate: int) -> None:
    at = study.run("real").path / f"at.{gate}"
    study.lab.until(f"the real run stands at line {gate}", at.exists, SECONDS)


def _goes_on(study: Study, gate: int, attempts: int) -> None:
    """Opens a gate once the run is back for another attempt."""
    study.lab.until(f"attempt {attempts} has begun", lambda: len(study.did("real")) >= attempts, SECONDS)
    (study.path / f"open.{gate}").touch()
