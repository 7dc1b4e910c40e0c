"""Snapshots of the code: what is copied, what is said about it, and that a job truly runs it."""

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from harness.errors import UserError
from harness.own import own_paths
from studies import packages
from studies.cluster import sources
from studies.cluster.records import Dispatch
from studies.cluster.snapshot import read_snapshot, take
from tests.studies import fakes

JOB = """
import json, models, harness, studies.survey
from harness.provenance import code_digest, code_root, source
from studies import packages
packages.verify()
roots = [str(code_root()), str(packages.code_root())]
print(json.dumps([models.SAYS, roots, studies.survey.__file__, code_digest(), source()]))
"""


@pytest.fixture
def dispatch(tmp_path, monkeypatch):
    """Of a study; the path has nothing of the user's on it."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    study = tmp_path / "runs" / "st"
    study.mkdir(parents=True)
    return Dispatch(study)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small copy of the code, in place of the real one."""
    root = tmp_path / "checkout"
    for name in packages.PACKAGES:
        (root / name / "__pycache__").mkdir(parents=True)
        (root / name / "__init__.py").write_text(f'"""The package {name}."""\n')
        (root / name / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"compiled")
    (root / "studies" / "paper").mkdir()
    (root / "studies" / "paper" / "online.yaml").write_text("name: online\n")
    (root / "models" / ".swap").write_text("an editor's")
    (root / "tests").mkdir()
    (root / "tests" / "test_it.py").write_text("")
    monkeypatch.setattr(packages, "code_root", lambda: root)
    return root


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A directory on the path, for components of the user's own."""
    home = tmp_path / "own"
    home.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(home))
    yield home
    for name in set(sys.modules) - before:
        del sys.modules[name]


def git(root, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip()


def committed(root):
    git(root, "init", "-q")
    (root / ".gitignore").write_text("__pycache__/\n.*\n")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "first")
    return git(root, "rev-parse", "HEAD")


def files(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_sources_and_their_data_are_copied_read_only(dispatch, checkout):
    found = take(dispatch, ())
    packed = [f"{name}/__init__.py" for name in packages.PACKAGES]
    described = ["dirty.diff", "packages.txt", "snapshot.json"]
    assert files(found.path) == sorted([*packed, "studies/paper/online.yaml", *described])
    assert found.path == dispatch.code / found.digest
    for name in files(found.path):
        assert not (found.path / name).stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    assert [path.name for path in dispatch.code.iterdir()] == [found.digest]


def test_the_same_code_is_copied_once_and_other_code_beside_it(dispatch, checkout):
    first = take(dispatch, ())
    assert take(dispatch, ()) == first
    (checkout / "models" / "__init__.py").write_text("SAYS = 2\n")
    second = take(dispatch, ())
    assert second.digest != first.digest
    assert (first.path / "models" / "__init__.py").read_text() == '"""The package models."""\n'
    assert (second.path / "models" / "__init__.py").read_text() == "SAYS = 2\n"
    (checkout / "models" / "__init__.py").rename(checkout / "models" / "other.py")
    assert take(dispatch, ()).digest not in {first.digest, second.digest}


def test_other_packages_in_the_environment_make_another_snapshot(dispatch, checkout, monkeypatch):
    first = take(dispatch, ())
    lines = (first.path / "packages.txt").read_text().splitlines()
    assert lines[0] == f"python=={sys.version.split()[0]}"
    assert any(line.startswith("numpy==") for line in lines)
    monkeypatch.setattr("studies.cluster.snapshot._installed", lambda: "numpy==1\n")
    assert take(dispatch, ()).digest != first.digest


def test_the_commit_and_what_it_does_not_have_are_recorded(dispatch, checkout):
    commit = committed(checkout)
    (checkout / "tests" / "test_it.py").write_text("# no part of the code")
    clean = take(dispatch, ())
    assert (clean.commit, clean.dirty) == (commit, False)
    assert not (clean.path / "dirty.diff").read_text()
    (checkout / "models" / "__init__.py").write_text("SAYS = 2\n")
    (checkout / "harness" / "fresh.py").write_text("NEW = 1\n")
    dirty = take(dispatch, ())
    assert (dirty.commit, dirty.dirty) == (commit, True)
    diff = (dirty.path / "dirty.diff").read_text()
    assert "+SAYS = 2" in diff
    assert "# not tracked: harness/fresh.py" in diff
    record = json.loads((dirty.path / "snapshot.json").read_text())
    assert record.keys() >= {"commit", "dirty", "digest", "time", "python", "own"}
    assert (record["commit"], record["dirty"]) == (commit, True)  # which attempts read


def test_without_git_or_in_anothers_repository_the_commit_is_not_known(
    dispatch, checkout, tmp_path, monkeypatch
):
    monkeypatch.setattr("studies.cluster.snapshot.installed_commit", lambda: None)
    (tmp_path / "README").write_text("a repository around an installation")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "README")
    git(tmp_path, "commit", "-qm", "first")
    around = take(dispatch, ())
    assert (around.commit, around.dirty) == (None, None)
    shutil.rmtree(around.path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (take(dispatch, ()).commit, take(dispatch, ()).dirty) == (None, None)


def test_an_installation_from_a_repository_knows_its_commit(dispatch, checkout, own):
    folder = own / "world_models_study-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: world-models-study\nVersion: 0.1.0\n")
    (folder / "direct_url.json").write_text('{"vcs_info": {"vcs": "git", "commit_id": "abc123"}}')
    found = take(dispatch, ())
    assert (found.commit, found.dirty) == ("abc123", None)


def test_components_of_the_users_own_are_copied_with_what_they_import_beside_them(dispatch, checkout, own):
    (own / "mine").mkdir()
    (own / "mine" / "__init__.py").write_text("from mylayers import Layer\nimport json, numpy, unused_name\n")
    (own / "mine" / "arena.xml").write_text("<mujoco/>")
    (own / "mylayers.py").write_text("import deeper\nclass Layer: ...\n")
    (own / "deeper.py").write_text("not python (\n")
    (own / "notes.txt").write_text("no code")
    found = take(dispatch, {"mine.model:Mine", "models.rssm:RSSM", "numpy.linalg:norm", "json:loads"})
    beside = [name for name in files(found.path) if name.partition("/")[0] not in packages.PACKAGES]
    code = ["deeper.py", "mine/__init__.py", "mine/arena.xml", "mylayers.py"]
    assert beside == sorted([*code, "dirty.diff", "packages.txt", "snapshot.json"])
    assert found.own == ("json:loads", "mine.model:Mine", "models.rssm:RSSM", "numpy.linalg:norm")
    assert found.sources == {name: str(own / name) for name in ("deeper.py", "mine", "mylayers.py")}


def test_a_change_in_a_component_of_the_users_own_is_dirty_too(dispatch, checkout, own):
    commit = committed(checkout)
    (own / "mine.py").write_text("A = 1\n")
    committed(own)
    assert take(dispatch, {"mine:A"}).dirty is False
    (own / "mine.py").write_text("A = 2\n")
    found = take(dispatch, {"mine:A"})
    assert (found.commit, found.dirty) == (commit, True)
    assert "+A = 2" in (found.path / "dirty.diff").read_text()


def test_a_package_that_is_no_code_only_is_refused(dispatch, checkout, own, monkeypatch):
    monkeypatch.setattr(sources, "MAX_OWN_MB", 0.001)
    (own / "mine").mkdir()
    (own / "mine" / "__init__.py").write_text("")
    (own / "mine" / "weights.npz").write_bytes(bytes(2000))
    with pytest.raises(UserError, match=r"own/mine holds more than .* Move data out .*weights\.npz has"):
        take(dispatch, {"mine:Mine"})
    assert not dispatch.code.exists()


def test_a_package_that_is_not_there_is_refused(dispatch, checkout):
    with pytest.raises(UserError, match="no package nowhere is found here"):
        take(dispatch, {"nowhere.model:Mine"})


def test_runs_below_a_package_are_no_code(checkout, own, monkeypatch):
    package = own / "mine"
    (package / "runs" / "st").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "link").symlink_to(package)
    dispatch = Dispatch(package / "runs" / "st")
    first = take(dispatch, {"mine:Mine"})
    assert take(dispatch, {"mine:Mine"}) == first
    assert [name for name in files(first.path) if name.startswith("mine/")] == ["mine/__init__.py"]


def test_the_names_that_a_configuration_gives_are_those_that_are_copied(dispatch, checkout, own):
    (own / "mine.py").write_text("")
    config = fakes.config().model_copy(update={"task": "gym/mine:Pole-v1"})
    assert "mine.py" in files(take(dispatch, own_paths(config)).path)


def test_a_follow_up_runs_the_snapshot_that_it_was_submitted_with(dispatch, checkout, own, monkeypatch):
    commit = committed(checkout)
    (own / "mine.py").write_text("A = 1\n")
    first = take(dispatch, {"mine:A"})
    (own / "mine.py").write_text("A = 2\n")
    monkeypatch.setattr(packages, "code_root", first.path.resolve)
    assert take(dispatch, {"mine:A"}) == first
    assert take(dispatch, ()) == first
    other = Dispatch(dispatch.path.parent.parent / "other")
    copied = take(other, ())
    assert copied.path.parent == other.code
    assert (copied.commit, copied.dirty) == (commit, False)


def test_the_snapshot_comes_first_and_the_working_directory_not_at_all(
    dispatch, checkout, tmp_path, monkeypatch
):
    old = take(dispatch, ())
    (checkout / "models" / "__init__.py").write_text("SAYS = 2\n")
    monkeypatch.chdir(tmp_path)
    entries = ["", str(old.path), "lib", str(checkout), "/elsewhere", "lib", ""]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entries))
    found = take(dispatch, ())
    path = os.pathsep.join([str(found.path), str(tmp_path / "lib"), "/elsewhere"])
    assert found.environment() == {"PYTHONSAFEPATH": "1", "PYTHONPATH": path, "WM_CODE": str(found.path)}


@pytest.fixture(scope="module")
def working_tree(tmp_path_factory):
    """A copy of the real code that may be edited."""
    root = tmp_path_factory.mktemp("tree")
    for name in packages.PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(packages.code_root() / name, root / name, ignore=ignore)
    return root


def run_job(cwd, environment):
    """Starts Python in the directory of the submission, which `-c` (like submitit's `-m`) would put first."""
    (cwd / "job_of_test.py").write_text(JOB)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-c", "import runpy; runpy.run_path('job_of_test.py')"],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_job_runs_the_code_of_its_submission_whatever_stands_around(
    dispatch, working_tree, tmp_path, monkeypatch
):
    """A module was edited after the submission, the working directory has packages of our names, and this Python
    may know an installed (editable) copy as well.
    """
    module = working_tree / "models" / "__init__.py"
    module.write_text(f"{module.read_text()}\nSAYS = 'as submitted'\n")
    monkeypatch.setattr(packages, "code_root", lambda: working_tree)
    found = take(dispatch, ())
    module.write_text(module.read_text().replace("as submitted", "edited"))
    for name in packages.PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a decoy was imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(working_tree), "."]))

    done = run_job(tmp_path, found.environment())
    assert done.returncode == 0, done.stderr
    says, roots, survey, digest, provenance = json.loads(done.stdout)
    assert says == "as submitted"
    assert roots == [str(found.path)] * 2
    assert survey == str(found.path / "studies" / "survey.py")
    assert provenance == {"commit": found.commit, "dirty": found.dirty, "code_root": str(found.path)}
    assert read_snapshot(found.path) == found
    assert take(dispatch, ()).digest != found.digest

    # A setup line that sets PYTHONPATH would run the edited code: the job says so and ends.
    done = run_job(tmp_path, found.environment() | {"PYTHONPATH": str(working_tree)})
    assert done.returncode != 0
    assert f"submitted with the code in {found.path} and runs that in {working_tree}" in done.stderr
    assert len(digest) == 12
