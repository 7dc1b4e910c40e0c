"""A user with a cluster: writes studies, calls `wm`, looks at the queue, waits for what must come."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from harness.rundir import RunDir, read_jsonl
from scripts.slurm.cluster import Cluster
from studies.packages import code_root
from tests.slurm import doings

HERE = Path(__file__).parent
WM = HERE / "wm.py"
SECONDS = 120.0
"""How long something that must come is waited for."""

SMALL = {"cpus": 1, "memory_gb": 0.5, "hours": 1}
PROFILE = {"resources": {"default": {"partition": "low", "account": "lab"}}}


class Lab:
    """A cluster and a home for its user."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        self.cluster = cluster
        self.home = home
        self.runs = home / "runs"
        self.work = home / "work"
        self.work.mkdir(parents=True)
        self.over = False  # the tests have ended: what still waits in a thread gives up
        self.profile("default", follow_up=False)
        self.profile("follow-up", follow_up={"cpus": 1, "memory_gb": 0.5, "hours": 1})

    def profile(self, name: str, **content: Any) -> Path:
        """Writes a profile of this user."""
        file = self.home / f"{name}.yaml"
        file.write_text(yaml.safe_dump(PROFILE | content))
        return file

    def study(self, name: str, designs: list[str], **fields: Any) -> "Study":
        """A study of runs that do what the names of their designs say."""
        return Study(self, name, designs, **fields)

    def queue(self, *options: str, form: str = "%i %j %T %r") -> list[list[str]]:
        """The lines of squeue, a task a line, split into words."""
        text = self.cluster.call("squeue", "--noheader", "--array", f"--format={form}", *options)
        return [line.split() for line in text.splitlines()]

    def until(self, what: str, holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Waits until a condition holds, and returns what it then says."""
        end = time.monotonic() + seconds
        while not (said := holds()):
            if self.over or time.monotonic() > end:
                raise AssertionError(
                    f"not within {seconds:.0f} s: {what}\n{self.cluster.call('squeue', check=False)}"
                )
            time.sleep(0.1)
        return said

    def commands(self, name: str, **scripts: str) -> str:
        """A PATH on which some programs of SLURM are replaced by shell lines; `{real}` is the true one."""
        folder = self.home / "bin" / name
        folder.mkdir(parents=True, exist_ok=True)
        path = self.cluster.environment["PATH"]
        for program, text in scripts.items():
            real = shutil.which(program, path=path)
            (folder / program).write_text(f"#!/bin/sh\n{text.format(real=real)}\n")
            (folder / program).chmod(0o755)
        return f"{folder}:{path}"

    def counted(self, name: str) -> tuple[str, Callable[[], dict[str, int]]]:
        """A PATH on which calls of squeue and sacct are counted, and their number so far."""
        calls = self.home / f"{name}.calls"
        calls.touch()
        lines = {program: f'echo {program} >> {calls}\nexec {{real}} "$@"' for program in ("squeue", "sacct")}
        return self.commands(name, **lines), lambda: dict(Counter(calls.read_text().split()))

    def without(self, missing: str) -> str:
        """A PATH on which a program of SLURM is not found, though the others are."""
        folder = self.home / "bin" / f"without-{missing}"
        folder.mkdir(parents=True, exist_ok=True)
        path = self.cluster.environment["PATH"]
        for program in (
            "sh",
            "squeue",
            "sacct",
            "sacctmgr",
            "scontrol",
            "scancel",
            "sinfo",
            "sbatch",
            "srun",
        ):
            real = shutil.which(program, path=path)
            if real and program != missing and not (folder / program).exists():
                (folder / program).symlink_to(real)
        return str(folder)


class Study:
    """A study of this user: its file, its directory, and `wm` called on it."""

    def __init__(
        self,
        lab: Lab,
        name: str,
        designs: list[str],
        *,
        seeds: int = 1,
        resources: dict[str, Any] | None = None,
        rules: list[dict[str, Any]] | None = None,
        base: dict[str, Any] | None = None,
        execute: str = doings.EXECUTE,
        profile: str = "default",
    ) -> None:
        self.lab = lab
        self.name = name
        self.path = lab.runs / name
        self.file = lab.work / f"{name}.yaml"
        self.execute = execute
        self.profile = lab.home / f"{profile}.yaml"
        content = {
            "name": name,
            "base": {"predict": "images", "space": "latent", "dynamics": "stochastic", "size": "tiny"}
            | (base or {}),
            # no two designs may be one run: what differs is a field that means nothing here
            "designs": {
                design: {"planner": {"horizon": 2 + number}} for number, design in enumerate(designs)
            },
            "grid": {"design": "*", "task": "toy/point-mass", "seed": f"range({seeds})"},
            "resources": {"default": SMALL | (resources or {}), "rules": rules or []},
        }
        self.file.write_text(yaml.safe_dump(content, sort_keys=False))

    @property
    def environment(self) -> dict[str, str]:
        """Of the user's shell."""
        return self.lab.cluster.environment | {
            "WM_RUNS": str(self.lab.runs),
            "WM_PROFILE": str(self.profile),
            "WM_TEST_EXECUTE": self.execute,
            "XDG_CONFIG_HOME": str(self.lab.home / "config"),
            "PYTHONPATH": f"{code_root()}:{HERE}",
            "OMP_NUM_THREADS": "1",
        }

    def wm(
        self, *arguments: str, status: int | None = 0, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Calls the command line and checks its exit status."""
        done = subprocess.run(
            [sys.executable, "-P", str(WM), *arguments],
            cwd=cwd or self.lab.work,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if status is not None:
            assert done.returncode == status, f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def submit(self, *options: str, **keywords: Any) -> "Study":
        """Submits the study."""
        self.wm("submit", str(self.file), *options, **keywords)
        return self

    def rows(self, **environment: str) -> dict[str, dict[str, Any]]:
        """What `wm status --json` says, by design, and seed where there are several."""
        said = json.loads(self.wm("status", self.name, "--json", **environment).stdout)["runs"]
        several = len({row["seed"] for row in said}) > 1
        return {f"{row['design']}/{row['seed']}" if several else row["design"]: row for row in said}

    def states(self, **environment: str) -> dict[str, str]:
        """The state of every run as people write it: `failed:code`."""
        return {name: word(row) for name, row in self.rows(**environment).items()}

    def becomes(self, expected: dict[str, str], seconds: float = SECONDS / 3) -> dict[str, dict[str, Any]]:
        """Waits until `wm status` says what it must, and returns the rows; accounting may lag a little."""
        end = time.monotonic() + seconds
        while True:
            rows = self.rows()
            said = {name: word(row) for name, row in rows.items() if name in expected}
            if said == expected:
                return rows
            if time.monotonic() > end:
                raise AssertionError(
                    f"{self.name}: {said}, not {expected}\n{json.dumps(rows, indent=1)}\n{self.told()}"
                )
            time.sleep(0.5)

    def settled(self, seconds: float = SECONDS) -> "Study":
        """Waits until the queue lists no job of this study."""
        self.lab.until(f"the queue holds nothing of {self.name}", lambda: not self.jobs(), seconds)
        return self

    def jobs(self) -> list[list[str]]:
        """The tasks of this study in the queue: number, name, state, reason."""
        return [line for line in self.lab.queue() if line[1].startswith(f"wm-{self.name}-")]

    def job_of(self, design: str, seed: int = 0) -> str:
        """What SLURM calls the last task that lists a run."""
        key = self.dispatch.assignments[self.hex(design, seed)][-1].key
        assert key is not None
        return key

    def hex(self, design: str, seed: int = 0) -> str:
        """The run's hex, from the frozen plan."""
        return next(run.hex for run in self.planned if (run.design, run.seed) == (design, seed))

    def run(self, design: str, seed: int = 0) -> RunDir:
        """A run's directory."""
        return RunDir(next(run.path for run in self.planned if (run.design, run.seed) == (design, seed)))

    def did(self, design: str, seed: int = 0) -> list[dict[str, Any]]:
        """What the run's attempts said of themselves."""
        return list(read_jsonl(self.run(design, seed).path / "did.jsonl"))

    def begun(self, design: str, seed: int = 0, attempts: int = 1) -> "Study":
        """Waits until a run is in so many attempts, and in its second step."""

        def standing() -> bool:
            state = self.run(design, seed).read_state()
            return (
                state is not None
                and state.attempt >= attempts
                and state.iteration >= 2
                and state.state == "running"
            )

        self.lab.until(f"{self.name}: {design} runs", standing)
        return self

    def go(self, design: str | None = None) -> None:
        """Lets runs that wait go on."""
        (self.path if design is None else self.run(design).path).joinpath("go").touch()

    @cached_property
    def planned(self) -> Any:
        """The runs of the frozen plan."""
        from studies.store import StudyDir

        return StudyDir(self.path).planned

    @property
    def dispatch(self) -> Any:
        """What is written about its submissions."""
        from studies.cluster.records import Dispatch

        return Dispatch(self.path)

    def told(self) -> str:
        """Events and logs of its tasks, for the message of a test that fails."""
        endings = (
            "dispatch/*/events/*.jsonl",
            "dispatch/*/logs/*.out",
            "dispatch/*/logs/*.err",
            "runs/*/log.txt",
        )
        files = [file for ending in endings for file in sorted(self.path.glob(ending))]
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files)


def word(row: dict[str, Any]) -> str:
    """`failed:code`, `running`."""
    return f"{row['state']}:{row['kind']}" if row["kind"] else row["state"]
