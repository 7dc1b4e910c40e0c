"""The studies that come with the project: they plan, fit each other, and name commands that exist."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer

from harness.build import build_planner
from harness.config import RunConfig
from harness.config.run import AXES
from harness.config.sections import EnvConfig, PlannerConfig
from harness.supported import contradiction, not_built
from harness.tasks import find_task
from studies import cost
from studies.cli import app
from studies.language import load_study
from studies.language.build import Builder
from studies.language.expand import expand
from studies.language.match import Condition
from studies.language.tasksets import task_sets
from studies.plan import build_plan
from studies.schema import SCHEMA_FILE

HERE = SCHEMA_FILE.parent
PAPER = sorted(path.stem for path in (HERE / "paper").glob("*.yaml"))
COUNTS = {
    "paper/capacity": 180 + 30,
    "paper/cross_training": 560 + 70,
    "paper/dose_response": 840 + 70,
    "paper/offline": 525 + 70,
    "paper/online": 525 + 70,
    "paper/planner": 450 + 75,
    "paper/sharing": 525 + 70,
    "mini/capacity": 16 + 4,
    "mini/cross_training": 32 + 4,
    "mini/dose_response": 48 + 4,
    "mini/offline": 30 + 4,
    "mini/online": 30 + 4,
    "mini/planner": 36 + 10,
    "mini/sharing": 30 + 4,
    "quickstart": 16 + 2,
    "reference": 40 + 5,
}
"""Runs of each study: those of models, and of the baselines."""
DOCS = sorted((HERE.parent / "docs").glob("reproduce.md"))


@cache
def study_of(name):
    return load_study(HERE / f"{name}.yaml")


@pytest.fixture(scope="module")
def plan_of(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return cache(lambda name: build_plan(study_of(name), root))


def configs(plan):
    return [RunConfig.model_validate(run.config) for run in plan.runs]


@pytest.mark.parametrize("name", COUNTS)
def test_it_plans_runs_that_can_be_built(name, plan_of):
    plan = plan_of(name)
    assert len(plan.runs) == COUNTS[name]
    assert not [note for note in plan.notes if "merged" in note or "excludes nothing" in note]
    assert not [drop.reason for drop in plan.dropped if not drop.reason.startswith("excluded by")]
    for config in configs(plan):
        assert (contradiction(config), not_built(config)) == ("", "")
    for section, task in {planning(config): config.task for config in configs(plan)}.items():
        build_planner(PlannerConfig.model_validate_json(section), find_task(task, EnvConfig()).spec)
    price = cost.estimate(plan.runs, plan.states())
    assert price["hours"] > 0
    assert price["disk_gb"] > 0
    assert price["basis"]["hours"].startswith("resources.hours")


def planning(config):
    """The section that says how an agent plans."""
    section = config.oracle if config.agent == "oracle" else config.planner
    return section.model_dump_json()


@pytest.mark.parametrize("name", COUNTS)
def test_every_rule_meets_a_run(name):
    study = study_of(name)
    builder = Builder(study)
    merged = [builder.merge(cell.values) for cell in expand(study).cells]
    for rule in study.rules:
        assert any(map(Condition(rule.where), merged)), rule.where.path


def test_all_are_here():
    found = [path.relative_to(HERE).with_suffix("").as_posix() for path in HERE.rglob("*.yaml")]
    assert sorted({*found} - {"tasks"}) == sorted(COUNTS)


@pytest.mark.parametrize("folder", ["paper", "mini"])
def test_their_runs_differ_in_what_they_study_alone(folder):
    """One budget for all: a run that two of them plan is one run, and the baselines are computed once."""
    shared = [
        {
            name: value.value
            for name, value in study_of(f"{folder}/{name}").base.items()
            if not name.startswith(("data.", "storage."))
        }
        for name in PAPER
    ]
    assert all(base == shared[0] for base in shared)


@pytest.mark.parametrize(
    ("folder", "shared"),
    [
        ("paper", {"sharing": 6 * 35, "dose_response": 2 * 35, "capacity": 4 * 15, "planner": 2 * 15}),
        ("mini", {"sharing": 6 * 2, "dose_response": 2 * 2, "capacity": 4 * 2, "planner": 2 * 2}),
    ],
)
def test_studies_share_the_runs_that_their_headers_say(folder, shared, plan_of):
    online = {run.hex: run.config["agent"] for run in plan_of(f"{folder}/online").runs}
    for name in PAPER:
        both = [run for run in plan_of(f"{folder}/{name}").runs if run.hex in online]
        models = sum(run.config["agent"] == "model" for run in both)
        assert name == "online" or models == shared.get(name, 0), name
        baselines = [run for run in plan_of(f"{folder}/{name}").runs if run.config["agent"] != "model"]
        further = [run for run in baselines if run.config["oracle"]["horizon"] != 12]
        assert len(both) - models == len(baselines) - len(further), name


@pytest.mark.parametrize("name", PAPER)
def test_a_mini_study_is_its_paper_study_in_small(name):
    full, mini = study_of(f"paper/{name}"), study_of(f"mini/{name}")
    assert mini.name == f"mini-{full.name}"
    assert shape_of(mini) == shape_of(full)
    assert mini.report == full.report
    assert 2 <= seeds(mini) < 5 <= seeds(full)


def seeds(study):
    return len({cell.config.seed for cell in expand(study).cells})


def shape_of(study):
    """What a study and its small counterpart have in common: designs, the axes of every block, datasets, conditions."""
    designs = {
        name: {field: located.value for field, located in design.fields.items()}
        for name, design in study.designs.items()
    }
    blocks = [{axis.name: named(axis) for group in block.groups for axis in group} for block in study.blocks]
    excluded = [sorted(where.fields) for where in study.exclude]
    data = {name: local(value.value) for name, value in study.base.items() if name.startswith("data.")}
    return designs, blocks, excluded, data


def named(axis):
    """Names on an axis; numbers and tasks are other ones in small."""
    values = [local(value.value) for value in axis.expand()]
    keep = axis.name in {*AXES, "design", "agent", "data.dataset", "planner.name"} - {"size"}
    return values if keep else None


def local(value):
    return value.removeprefix("mini-") if isinstance(value, str) else value


@pytest.mark.parametrize("name", ["offline", "cross_training"])
@pytest.mark.parametrize("folder", ["paper", "mini"])
def test_the_header_says_how_to_make_the_data(folder, name, plan_of):
    """Before there is any, it plans all the same, and says what is missing."""
    plan = plan_of(f"{folder}/{name}")
    wanted = {config.data.dataset for config in configs(plan)} - {None}
    text = commented(HERE / folder / f"{name}.yaml")
    (built, source) = re.search(r"wm dataset build (\S+) (\S+)", text).groups()
    loop = re.search(r"for design in (.*?); do", text)
    made = {built.replace("$design", each) for each in loop[1].split()} if loop else {built}
    assert made == wanted
    assert source == study_of(f"{folder}/online").name
    assert sum(f"no dataset {dataset} " in note for dataset in wanted for note in plan.notes) == len(wanted)


def test_the_paper_s_tasks_are_the_seven():
    tasks = {cell.config.task for cell in expand(study_of("paper/online")).cells}
    assert tasks == set(task_sets()["seven"].tasks)


def commented(path: Path) -> str:
    """The comments of a file as running text, broken lines joined."""
    lines = [line.strip().removeprefix("#") for line in path.read_text().splitlines() if line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ")


def commands(text: str) -> list[list[str]]:
    """Every `wm` command of a text, up to a comment, a pipe or the next command."""
    found = re.findall(r"(?<![\w/.-])wm ((?:dataset |list )?[a-z]+(?: [^\n#|&;`)]*)?)", text)
    return [shlex.split(re.sub(r"\s{3,}.*", "", words)) for words in found]


@pytest.mark.parametrize(
    "path", [*HERE.glob("*/*.yaml"), *DOCS], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_commands_that_are_told_exist(path):
    text = commented(path) if path.suffix == ".yaml" else "\n".join(blocks_of(path.read_text()))
    for words in commands(text):
        command = typer.main.get_command(app)
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


def blocks_of(text: str) -> list[str]:
    """The code blocks of a Markdown text."""
    return re.findall(r"```bash\n(.*?)```", text.replace("\\\n", " "), re.DOTALL)
