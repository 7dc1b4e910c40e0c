"""The batch script of an order: what SLURM is told, through submitit; and what its refusals mean."""

from __future__ import annotations

import math
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from studies.cluster.granting import Granted
from studies.cluster.types import LimitReached, Order, QueueFull, Silent, SubmissionError, Unanswered

if TYPE_CHECKING:
    from submitit import SlurmExecutor

SIGNAL_SECONDS = 90
"""How long before the end of its time a job is told (USR2) to write a checkpoint; a quarter of a short limit. SLURM
looks about every 30 s, and may be up to 60 s early. `sbatch: signal=USR2@300` in the resources asks for more.
"""

UNFIT = "%\\:"
"""What a job's directory cannot have in its path: SLURM and submitit read % and backslashes in that of a log, and a
colon ends an entry of PYTHONPATH.
"""

_WITHOUT_LIMIT = 10**9  # requeues that submitit allows: the policies limit them, nothing else
_OURS = {
    *("array", "dependency", "error", "job-name", "no-requeue", "ntasks"),
    *("output", "parsable", "requeue", "test-only", "wait", "wrap", "nodes", "ntasks-per-node"),
}
_FIELDS = {
    **dict.fromkeys(("mem", "mem-per-cpu", "mem-per-gpu"), "memory_gb"),
    **dict.fromkeys(("gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket"), "gpus"),
    **dict.fromkeys(("cpus-per-task", "cpus-per-gpu"), "cpus"),
    "time": "hours",
    **{name: name for name in ("partition", "account", "qos", "constraint", "gres", "exclude", "nodelist")},
    **{name: name for name in ("reservation", "nice", "begin")},
}
"""The field of the resources that says what an option says."""


def executor(order: Order) -> SlurmExecutor:
    """The executor of submitit for an order. Asks nothing of the cluster, and needs no SLURM on this machine.

    Raises:
        UserError: an option of the resources that no job can have.
    """
    from submitit import SlurmExecutor

    class Executor(SlurmExecutor):
        @classmethod
        def affinity(cls) -> int:  # it looks for srun, which a dry run elsewhere has not
            return 1

    srun = order.resources.srun is not False
    python = order.python if srun else f"exec {order.python}"
    # of the class, as submitit makes another executor for an array
    SlurmExecutor._get_job_id_from_submission_command = staticmethod(_job_number)  # type: ignore[assignment,method-assign] # noqa: SLF001
    made = Executor(order.folder / "logs", max_num_timeout=_WITHOUT_LIMIT, python=python)
    made.update_parameters(**parameters(order))
    return made


def _job_number(answer: bytes | str) -> str:
    """The number in sbatch's answer, before which a site may print what it likes."""
    text = answer if isinstance(answer, str) else answer.decode(errors="replace")
    numbers = re.findall(r"Submitted batch job (\d+)", text)
    if not numbers:
        raise RuntimeError(f"sbatch gave no job number: {text}")
    return str(numbers[-1])


def script(order: Order) -> str:
    """The batch script that `executor` hands to sbatch; writes nothing.

    Raises:
        UserError: as `executor`.
    """
    made = executor(order)
    if order.size > 1:
        made.parameters["map_count"] = order.size
    return made._make_submission_file_text(made._submitit_command_str, "")  # noqa: SLF001 - what submit writes


def calls(order: Order) -> list[Any]:
    """What the tasks call: objects that hold only where their runs are listed."""
    module, _, name = order.call.partition(":")
    kind = getattr(import_module(module), name)
    return [kind(str(order.folder), order.array, index) for index in range(order.size)]


def pickle_of(folder: Path, key: str) -> Path:
    """Where submitit's part of a task looks for what it calls.

    Args:
        folder: ``dispatch/<submission>``.
        key: of the task.
    """
    return folder / "logs" / f"{key}_submitted.pkl"


def hold_out(order: Order, job: str) -> list[str]:
    """Writes what the tasks of a job call, where it is missing; returns the keys of those tasks.

    A submitter that was killed right after sbatch leaves a job without it, whose tasks wait for it for a minute.
    """
    keys = [job] if order.size == 1 else [f"{job}_{index}" for index in range(order.size)]
    missing = [key for key in keys if not pickle_of(order.folder, key).exists()]
    if missing:
        from submitit.core.utils import DelayedSubmission

        for key, call in zip(keys, calls(order), strict=True):
            if key in missing:
                delayed = DelayedSubmission(call)
                delayed.set_timeout(math.ceil(order.resources.hours * 60), _WITHOUT_LIMIT)
                file = pickle_of(order.folder, key)
                aside = file.with_suffix(".aside")
                delayed.dump(aside)
                aside.replace(file)
    return missing


def parameters(order: Order) -> dict[str, Any]:
    """The parameters of submitit's executor.

    Raises:
        UserError: an option of the resources that no job can have.
    """
    _check_folder(order)
    resources = order.resources
    minutes = max(1, math.ceil(resources.hours * 60 - 1e-6))
    named = {name: getattr(resources, name) for name in ("account", "qos", "constraint")}
    named |= {name: _list(getattr(resources, name)) for name in ("partition", "nodelist", "exclude")}
    if resources.gres:
        named["gres"] = resources.gres
    elif resources.gpus:
        named["gpus_per_node"] = resources.gpus
    if resources.srun is not False:  # since 22.05 srun does not take the number from the job that it is in
        named["srun_args"] = [f"--cpus-per-task={resources.cpus}"]
    return named | {
        "job_name": order.name,
        "time": minutes,
        "mem": f"{math.ceil(resources.memory_gb * 1024 - 1e-6)}M",
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": resources.cpus,
        "dependency": f"afterany:{':'.join(order.after)}" if order.after else None,
        "array_parallelism": order.parallel or order.size,
        "wckey": None,
        "setup": _setup(order),
        "use_srun": resources.srun is not False,
        "additional_parameters": _additional(order, minutes),
    }


def check_lines(resources: Granted) -> None:
    """Refuses lines of `resources.sbatch` that no job can have.

    Raises:
        UserError: there is one.
    """
    _own(resources)


def _list(text: str | None) -> str | None:
    """Names without the blanks that a person may put between them."""
    return text and ",".join(name.strip() for name in text.split(","))


def _additional(order: Order, minutes: int) -> dict[str, Any]:
    """What submitit has no parameter for; the study's own lines come last and win."""
    resources = order.resources
    delay = min(SIGNAL_SECONDS, minutes * 60 // 4)
    target = "" if resources.srun is not False else "B:"  # without srun the batch shell has become our Python
    added = {
        "requeue": True,
        "signal": f"{target}USR2@{delay}",
        "reservation": resources.reservation,
        "nice": resources.nice,
        "begin": resources.begin,
        "kill-on-invalid-dep": "yes" if order.after else None,
    }
    return {name: value for name, value in added.items() if value is not None} | _own(resources)


def _own(resources: Granted) -> dict[str, Any]:
    """The lines of `resources.sbatch`: `mail-type=END`, `exclusive`, or as a script has them."""
    found: dict[str, Any] = {}
    for line in (resources.sbatch or "").splitlines():
        text = line.strip().removeprefix("#SBATCH").strip()
        if not text:
            continue
        match = re.fullmatch(r"(?:--)?([a-z][a-z0-9-]+)(?:(?:=|\s+)(.+))?", text)
        if match is None:
            raise UserError(
                f"resources.sbatch: {text!r} is no sbatch option; write its long name: mail-type=END"
            )
        name, value = match.groups()
        if name in _OURS:
            raise UserError(f"resources.sbatch: wm itself sets --{name}; leave the line out")
        if name in _FIELDS:
            raise UserError(
                f"resources.sbatch: --{name} would override what wm sets; use `resources.{_FIELDS[name]}`"
            )
        words = shlex.split(value) if value else []
        # submitit's own names have underscores: this replaces its line instead of adding a second one
        found[name if name in {"open-mode", "signal"} else name.replace("-", "_")] = (
            " ".join(words) if words else True
        )
    return found


def _setup(order: Order) -> list[str]:
    """The lines before Python starts. The first that fails ends the job, so that it does not look like a success."""
    lines = [
        "set -e",
        "export SLURM_EXPORT_ENV=ALL",
    ]  # srun gets these variables even where --export=NONE is usual
    lines += [f"export {name}={shlex.quote(value)}" for name, value in order.environment.items()]
    own = (order.resources.setup or "").splitlines()
    path = order.environment.get("PYTHONPATH")
    if own and path:  # a module that was loaded may have put a path of its own in place of ours
        own.append(f'export PYTHONPATH={shlex.quote(path)}"${{PYTHONPATH:+:$PYTHONPATH}}"')
    return lines + own


def _check_folder(order: Order) -> None:
    for sign in UNFIT:
        if sign in str(order.folder):
            raise UserError(
                f"{order.folder}: jobs of SLURM cannot have a path with {sign} for their logs and code; "
                "set --runs to another"
            )


_SET = "in the study's `resources` or in your profile"
_FULL = "the queue takes no more of your jobs: `wm submit` again once some have ended"
_HOURS = (
    f"`sinfo --summarize` and `sacctmgr show qos` say what is allowed; lower `hours` {_SET}: a run that needs more is "
    "continued in another allocation"
)
_TOO_MUCH = (
    "`sinfo --format='%P %c %m %G'` says what the nodes of each partition have; lower `cpus`, `gpus`, `memory_gb` or "
    f"`runs_per_gpu` {_SET}"
)
_SILENT = "`wm doctor` checks SLURM; `wm submit` again submits what is missing"
_REMEDIES = {
    r"maxsubmit|unable to accept|temporarily unavailable": _FULL,
    r"maxwall|time ?limit is": _HOURS,
    r"policy": f"`sacctmgr show assoc where user=$USER` and `sacctmgr show qos` say what you may ask for {_SET}",
    r"invalid account": f"`sacctmgr show assoc where user=$USER` lists yours; set `account` {_SET}",
    r"partition name|invalid partition|not permitted": f"`sinfo --summarize` lists them; set `partition` {_SET}",
    r"invalid qos": f"`sacctmgr show assoc where user=$USER` lists yours; set `qos` {_SET}",
    r"array": "`scontrol show config | grep -i array` says what is allowed",
    r"memory|node configuration|processors|cpu count": _TOO_MUCH,
    r"generic resource|gres": f"`sinfo --format='%P %G'` says what nodes have; set `gpus` or `gres` {_SET}",
    r"feature": f"`sinfo --format='%P %f'` lists the features of nodes; set `constraint` {_SET}",
    r"reservation": f"`scontrol show reservation` lists them; set `reservation` {_SET}",
    r"node name": f"`sinfo --Node` lists the nodes; set `nodelist` and `exclude` {_SET}",
    r"timed out|unable to contact|connect failure|refused": _SILENT,
    r"unrecognized option|specification": f"see `begin`, `nice` and `sbatch` {_SET}",
    r"not on the path": "log in where sbatch is, load its module, or use `--executor local`",
}
"""By what sbatch says; the first that fits."""


_REFUSED = re.compile(
    r"batch job submission failed|invalid|unrecognized|unknown option|not on the path|unable to open file"
)
_SILENCE = re.compile(r"unable to contact|connect failure|connection refused|not on the path")
_NO_WORD = re.compile(
    r"gave no job|timed out|time-?out|zero bytes|communication|connection|unexpected message|transmission"
)
_QUEUE_LIMIT = re.compile(r"submit\w*limit|maxsubmit|unable to accept|temporarily unavailable")
_SOME_LIMIT = re.compile(r"job submit limit")
_NAMED_LIMIT = re.compile(r"(?:assoc|qos|partition)\w*(?:limit|minutes)")


def failure(words: str) -> type[SubmissionError]:
    """What kind of refusal sbatch's words are; where they are no clear one, the job may have been accepted."""
    lower = words.lower()
    if _SILENCE.search(lower):
        return Silent
    if _NO_WORD.search(lower) or not _REFUSED.search(lower):
        return Unanswered
    if _QUEUE_LIMIT.search(lower):
        return QueueFull
    if _SOME_LIMIT.search(lower) and not _NAMED_LIMIT.search(lower):
        return LimitReached
    return SubmissionError


def explain(words: str) -> str:
    """What sbatch said, without its own name, and what to do about it."""
    lines = [re.sub(r"^sbatch: (error: )?", "", line).strip() for line in words.splitlines()]
    said = "; ".join(
        dict.fromkeys(line.removeprefix("Batch job submission failed: ") for line in lines if line)
    )
    lower = said.lower()
    remedy = next((text for pattern, text in _REMEDIES.items() if re.search(pattern, lower)), "")
    return f"{said or 'sbatch said nothing'}\n{remedy}".strip()
