"""Shell scripts in place of SLURM's programs."""

import shlex

NAMES = ("sbatch", "srun", "squeue", "sacct", "scancel", "scontrol", "sacctmgr", "sinfo")


def stand_in(tmp_path, monkeypatch):
    """Puts shell scripts that fail on the PATH in place of SLURM's programs; returns a function that gives one of them
    other lines, and returns how it was called so far.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    for name in NAMES:
        (folder / name).write_text("#!/bin/sh\necho not in this test >&2; exit 1\n")
        (folder / name).chmod(0o755)

    def put(name, lines):
        log = tmp_path / f"{name}.log"
        (folder / name).write_text(f'#!/bin/bash\necho "$*" >> {log}\n{lines}\n')
        return lambda: log.read_text().splitlines() if log.exists() else []

    return put


def says(text):
    """A shell line that prints a text."""
    return f"printf %s {shlex.quote(text)}"


def refuses(text, status=1):
    """Shell lines of a program that fails."""
    return f"printf %s {shlex.quote(text)} >&2; exit {status}"
