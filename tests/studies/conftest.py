"""The command line with a fake run in place of training."""

import sys

import pytest

import studies.cli
from tests.studies import fakes


@pytest.fixture
def wm(tmp_path, monkeypatch, capfd):
    """Calls the command line in this process: (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PYTHONPATH", fakes.HERE)
    monkeypatch.setattr("studies.dispatch.EXECUTE", fakes.EXECUTE)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["wm", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ending:
            studies.cli.main()
        out, err = capfd.readouterr()
        return ending.value.code or 0, out, err

    return call
