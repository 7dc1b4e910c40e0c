"""The layers of ARCHITECTURE.md: who imports whom, no circle between files, and what `wm` never loads."""

import ast
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parent.parent
MAY_IMPORT = {
    "models": set(),
    "planners": set(),
    "harness": {"models", "planners"},
    "analysis": {"harness"},
    "studies": {"harness", "analysis"},
}
HEAVY = {"torch", "mujoco", "dm_control", "gymnasium", "tensorboard", "moviepy", "statsmodels", "submitit"}
TORCH_FREE_HARNESS = {
    "harness.config",
    "harness.errors",
    "harness.registry",
    "harness.rundir",
    "harness.tasks",
}
LAZY = {"torch", "mujoco", "dm_control", "matplotlib", "pandas", "seaborn", "scipy"}


def module_name(file: Path) -> str:
    """`harness.config.fields`, from a file; a package's `__init__` is the package."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for package in MAY_IMPORT for file in sorted((ROOT / package).rglob("*.py"))}


def imports(name: str, *, top_level: bool = False) -> set[str]:
    """The modules that a file imports, ours as exactly as we can tell; only those at its top level if asked."""
    tree = ast.parse(FILES[name].read_text())
    nodes = list(_top(tree)) if top_level else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{FILES[name]}:{node.lineno}: import by the full name"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in FILES else node.module for one in whole}
    return found


def _top(tree: ast.AST):
    """The statements that run on import, except those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _top(node)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_says_what_belongs_in_it(package):
    assert len(ast.get_docstring(ast.parse(FILES[package].read_text()))) > 60


def test_no_import_runs_upwards():
    wrong = []
    for name in FILES:
        package = name.split(".")[0]
        for imported in imports(name):
            other = imported.split(".")[0]
            if other in MAY_IMPORT and other != package and other not in MAY_IMPORT[package]:
                wrong.append(f"{name} imports {imported}")
    assert not wrong


def test_no_circle_between_files():
    graph = {name: {one for one in imports(name) if one in FILES and one != name} for name in FILES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_analysis_reads_through_the_torch_free_part_of_the_harness():
    for name in FILES:
        if name.startswith("analysis"):
            assert not {one.split(".")[0] for one in imports(name, top_level=True)} & HEAVY, name
            for imported in imports(name):
                assert imported.split(".")[0] not in HEAVY - {"statsmodels"}, (
                    name
                )  # an extra: where it is used
                if imported.startswith("harness."):
                    assert ".".join(imported.split(".")[:2]) in TORCH_FREE_HARNESS, (
                        f"{name} imports {imported}"
                    )


def test_tests_are_not_imported():
    assert not [name for name in FILES for imported in imports(name) if imported.split(".")[0] == "tests"]


@pytest.mark.parametrize(
    "statement",
    [
        "import studies.cli",
        "import harness.config, harness.registry, harness.rundir, harness.claim",
        "import studies.pool, studies.worker, studies.store, studies.status, studies.dispatch, studies.retrying",
        "import studies.language",
        "import analysis.study",
    ],
)
def test_what_the_command_line_loads_is_light(statement):
    script = f"import sys\n{statement}\nprint('LOADED', *sorted(sys.modules))"
    assert not loaded(["-c", script]) & LAZY


@pytest.mark.parametrize(
    "verb", [["--help"], ["run", "--help"], ["plan", "STUDY", "--json"], ["status", "nothing"]]
)
def test_wm_never_loads_torch_before_it_needs_it(verb, tmp_path):
    study = tmp_path / "small.yaml"
    study.write_text(
        "name: small\n"
        "base: {train: {episodes: 6}, size: tiny}\n"
        "grid: {design: images-latent-stochastic, task: [toy/point-mass, dmc/cartpole-balance], seed: range(3)}\n"
    )
    arguments = [str(study) if word == "STUDY" else word for word in verb]
    script = (
        "import atexit, sys\n"
        "from studies.cli import main\n"
        "atexit.register(lambda: print('\\nLOADED', *sorted(sys.modules)))\n"
        f"sys.argv = ['wm', *{arguments!r}]\n"
        "main()\n"
    )
    assert not loaded(["-c", script], cwd=tmp_path, check=verb[0] != "status") & LAZY


def loaded(arguments, cwd=ROOT, *, check=True) -> set[str]:
    """The top-level modules that a Python process has loaded when it ends."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "LOADED" in done.stdout, done.stderr
    assert not check or done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.rpartition("LOADED")[2].split()}
