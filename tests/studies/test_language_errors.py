"""Whatever is wrong with a study is reported, with its place and what may have been meant, all at once."""

from __future__ import annotations

import time

import pytest
import yaml

from analysis.claims.spec import ReportSpec
from studies.language import StudyError, expand, load_config, parse_study

GRID = "grid: {design: rewards-latent-stochastic, task: toy/point-mass}\n"


def problems(text, *overrides):
    """The lines of the error that a study text makes."""
    with pytest.raises(StudyError) as caught:
        expand(parse_study(text, "s.yaml", overrides))
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bas: {}", "s.yaml:3:1: bas: unknown key (did you mean base?)"),
        ("train: {}", "s.yaml:3:1: train: unknown key (a field of a run: write it under base"),
        (
            "base: {train: {epsiodes: 3}}",
            "s.yaml:3:16: base.train.epsiodes: unknown field train.epsiodes (did you mean train.episodes?)",
        ),
        ("base: {horizon: 3}", "base.horizon: unknown field horizon (did you mean planner.horizon?)"),
        ("base: {epsiodes: 3}", "base.epsiodes: unknown field epsiodes (did you mean train.episodes?)"),
        ("base: {foo: 3}", "base.foo: unknown field foo"),
        (
            "base: {train: 3}",
            "s.yaml:3:15: base.train: must be a mapping of the fields of train, not the number 3",
        ),
        ("base: {train.episodes: many}", "must be a whole number, not the text 'many'"),
        ("base: {train.episodes: 1e3}", "must be a whole number, not 1000.0 (write 1000)"),
        ("base: {train.episodes: 1_000}", "not the text '1_000' (write 1000)"),
        ("base: {train.episodes: '3'}", "not the text '3' (remove the quotes)"),
        ("base: {train.episodes: true}", "must be a whole number, not the boolean true"),
        ("base: {train.episodes: 0}", "must be at least 1, not 0"),
        ("base: {train.episodes: 12:30:00}", "(a time is no number here)"),
        ("base: {train.learning_rate: 0}", "must be more than 0, not 0"),
        ("base: {storage.tensorboard: off}", "must be true or false, not the text 'off' (write false)"),
        ("base: {env.image_size: 010}", "write 10, or quote it"),
        ("base: {size: 1}", "must be tiny, small, paper, large or bench, not 1"),
        ("base: {size: smal}", "not the text 'smal' (did you mean small?)"),
        ("base: {train.episodes: [3]}", "must be one value, not a list: lists stand in the grid"),
        (
            "resources: {default: {partition: [low, high]}}",
            'must be one text: write several with commas, "low,high"',
        ),
        (
            "base: {train.episodes: 9, train: {episodes: 8}}",
            "train.episodes is written twice; the first is in line 3",
        ),
        ("base: {train.episodes: 9, train.episodes: 8}", "duplicate key; the first is in line 3"),
        ("base: {design: x}", "a design is chosen by a grid or an include, not here"),
        ("base: {task: dmc/cheeta-run}", "did you mean dmc/cheetah-run?"),
        ("base: {planner.name: cemm}", "unknown planner cemm (did you mean cem?)"),
        ("base: {planner.name: nowhere.at_all:X}", "no module nowhere"),
        ("base: {planner.objective: rewards}", "unknown objective 'rewards' (did you mean reward?)"),
        ("base: {model.name: rssm}", "unknown model 'rssm'"),
        ("base: {model.widths: {units: 1.5}}", "base.model.widths.units: must be a whole number, not 1.5"),
        ("base: {model.widths: {unitss: 15}}", "no width unitss (did you mean units?)"),
        ("base: {model.options: {a: 1}}", "model.options (a) are for models of your own"),
        ("base: {runtime.device: gpu}", "unknown device 'gpu'"),
        ("base: {storage.training_frames: last}", "the text 'last' is not one of its forms: all, states"),
        ("base: 3", "s.yaml:3:7: base: must be a mapping of fields, not the number 3"),
        ("designs: {random: {}}", "'random' is an agent, not a design"),
        ("designs: {'a*': {}}", "cannot name a design"),
        (
            "designs: {images-latent-stochastic: {space: pixel}}",
            "the name images-latent-stochastic means space: latent",
        ),
        ("factorial: [{name: x}]", "factorial[0].axes: missing"),
        ("factorial: [{axes: {space: [latent, pixel]}, name: x}]", "names two designs x: add {space}"),
        (
            "factorial: [{axes: {space: [latent]}, name: '{spac}'}]",
            "{spac} is no axis of this factorial (did you mean",
        ),
        ("factorial: [{axes: {seed: range(3)}}]", "seed is not part of a design"),
        ("factorial: [{axes: {model.free_nats: [1.0]}, nam: x}]", "unknown key (did you mean name?)"),
        (
            "zip: [{train.batch: [1, 2], train.forecast: [1, 2, 3]}]",
            "2 values, but 3 elsewhere in this block",
        ),
        ("zip: [{seed: range(2)}, {seed: range(2)}]", "seed varies already in zip[0].seed (line 3)"),
        ("exclude: [{task: dmc/nothing}]", "'dmc/nothing' is no task"),
        ("exclude: [{design: 'x*'}]", "'x*' matches no design"),
        ("exclude: [{space: 'x*'}]", "'x*' matches none of latent or pixel"),
        ("exclude: [{}]", "names no field: it would select every run"),
        (
            "include: [{agent: randm}]",
            "must be model, random or oracle, not the text 'randm' (did you mean random?)",
        ),
        ("include: [{}]", "empty: it has no runs"),
        (
            "include: [{agent: random, task: toy/point-mass, size: tiny}]",
            "the agent random has no model: remove size",
        ),
        ("reuse: [../x]", "cannot name a folder under the runs directory"),
        ("resources: {default: {gpu: 1}}", "unknown field resources.gpu (did you mean resources.gpus?)"),
        ("resources: {rules: [{hours: 1}]}", "has no where: put what holds for every run under default"),
        ("resources: {rules: [{where: {seed: 1}}]}", "grants nothing"),
        ("resources: {rule: []}", "unknown key (did you mean rules?)"),
        ("report: {final_window: 10}", "s.yaml:3:24: report.final_window: must be at most 1, not 10"),
        ("report: {windw: 1}", "there are final_window, diverged and claims"),
        ("report: {diverged: excluded}", "must be random or exclude, not the text 'excluded' (did you mean"),
        (
            "report: {H2: {margin: 0.1}}",
            "s.yaml:3:10: report.H2: H2 is a claim: write it under report.claims",
        ),
        ("report: {claims: [H1]}", "must be a mapping of claims, such as {H1: {level: 0.95}}, not a list"),
        (
            "report: {claims: {h4: {}}}",
            "report.claims.h4: no such claim (did you mean H4?); there are H1 to H11",
        ),
        ("report: {claims: {H2.margin: 0.1}}", "write it nested, H2: {margin: ...}"),
        (
            "report: {claims: {H9: yes}}",
            "must be a mapping of level and margin (H9: {} takes the defaults), not",
        ),
        (
            "report: {claims: {H1: {margin: 0.1}}}",
            "s.yaml:3:24: report.claims.H1.margin: H1 has no option margin (margin is of H2, H9 and H10); it has level",
        ),
        (
            "report: {claims: {H2: {margn: 1}}}",
            "H2 has no option margn (did you mean margin?); it has level and",
        ),
        (
            "report: {claims: {H2: {margin: '0.1'}}}",
            "must be a number, not the text '0.1' (remove the quotes)",
        ),
        ("report: {claims: {H2: {level: 95}}}", "report.claims.H2.level: must be less than 1, not 95"),
        ("overrides: {train.epochs: 1}", "overrides.train.epochs: unknown field train.epochs (did you mean"),
    ],
)
def test_a_wrong_line_is_one_located_problem(line, expected):
    found = problems(f"name: s\n{GRID}{line}\n")
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("s.yaml:")


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ("", "s.yaml:2:1: grid: empty: it has no runs"),
        ("{}", "grid: empty: it has no runs"),
        ("3", "grid: must be a mapping of fields, not the number 3"),
        ("{task: []}", "grid.task: no values: the grid would be empty"),
        ("{task: toy/point-mass}", "a model needs predict, space, dynamics (or a design that sets it)"),
        ("{design: rewards-latent-stochastic}", "no task is given"),
        (
            "{design: imags-latent-stochastic, task: toy/point-mass}",
            "(did you mean images-latent-stochastic?)",
        ),
        ("{design: 'x*', task: toy/point-mass}", "'x*' matches no design of this study"),
        ("{design: '*', task: toy/point-mass}", "the known names are reached by name, not by globs"),
        (
            "{design: random, task: toy/point-mass}",
            "'random' is an agent, not a design: include: [{agent: random",
        ),
        ("{design: 3, task: toy/point-mass}", "must be the name of a design or a glob, not the number 3"),
        (
            "{design: rewards-pixel-stochastic, reward_gradient: stopped, task: toy/point-mass}",
            "grid.reward_gradient: reward_gradient stopped leaves a design that predicts rewards only nothing to learn",
        ),
        (
            "{design: images-latent-stochastic, model.variant: feedforward, task: toy/point-mass}",
            "model.variant feedforward is no form of images-latent",
        ),
        ("{task: 'dmc/zzz*', seed: 0}", "'dmc/zzz*' matches no task"),
        ("{seed: [range(1, 3)]}", "quote the range"),
        ("{seed: range(0)}", "range(0) holds no numbers"),
        ("{seed: 'range(-1, 3)'}", "must be at least 0, not -1"),
        (
            "{seed: range(1000000000)}",
            "s.yaml:2:7: grid: 1,000,000,000 runs (seed 1,000,000,000); a study holds at most",
        ),
        (f"{{seed: range(1{'0' * 39}), train.batch: range(1{'0' * 39})}}", "about 10^78 runs"),
        ("{task: toy/point-mass, agent: random, env.image_size: [4, 8]}", "must be at least 8, not 4"),
    ],
)
def test_a_wrong_grid_is_a_located_problem(grid, expected):
    start = time.perf_counter()
    found = problems(f"name: s\ngrid: {grid}\n")
    assert any(expected in line for line in found), found
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    "name", ["../x", "/etc", "a/b", ".", "..", ".hidden", "a b", "datasets", "x" * 81, "''", "-x"]
)
def test_a_name_that_leaves_the_runs_directory_is_refused(name):
    assert "name: " in problems(f"name: {name}\n{GRID}")[0]


@pytest.mark.parametrize("name", ["", "[a]", "3", "true"])
def test_a_name_must_be_a_text(name):
    assert problems(f"name: {name}\n{GRID}")[0].startswith("s.yaml:1:")


def test_every_problem_of_a_file_is_reported_at_once_in_its_order():
    found = problems(
        "nam: s\n"
        "base: {train: {epsiodes: 3}, size: huge}\n"
        "grid:\n"
        "  design: nonsense\n"
        "  task: dmc/cheeta-run\n"
        "  task: toy/point-mass\n"
        "  seed: 1e-4\n",
        "train.batch=x",
    )
    assert [line.partition(": ")[0] for line in found] == [
        "command line", "s.yaml:1:1", "s.yaml:1:1", "s.yaml:2:16", "s.yaml:2:36", "s.yaml:4:11", "s.yaml:5:9",
        "s.yaml:6:3", "s.yaml:7:9",
    ]  # fmt: skip


def test_every_problem_of_the_report_is_told_at_once():
    text = "report:\n  windw: 1\n  final_window: 0\n  claims: {H1: {levl: 1}, H12: {}, H2: {level: 0.5, margin: x}}\n"
    found = problems(f"name: s\n{GRID}{text}")
    assert [line.partition(": ")[0].partition(":")[2] for line in found] == [
        "4:3", "5:17", "6:17", "6:27", "6:48", "6:61",
    ]  # fmt: skip


def test_a_threshold_in_any_form_of_yaml_is_the_number_that_analysis_reads():
    text = f"name: s\n{GRID}report: {{claims: {{H1: , H2: {{margin: 5e-2}}}}}}\n"
    spec = ReportSpec.model_validate(yaml.safe_load(text)["report"])  # YAML 1.1: the text 5e-2
    assert spec == ReportSpec.model_validate(parse_study(text, "s.yaml").report)
    assert spec.options("H2").margin == 0.05
    assert spec.claims.model_dump()["H1"] == {"level": 0.95}
    assert spec.claims.H3 is None
    assert ReportSpec.model_validate(spec.model_dump(mode="json")) == spec
    for empty in ("report:\n", "report: {claims: }\n"):
        study = parse_study(f"name: s\n{GRID}{empty}", "s.yaml")
        assert ReportSpec.model_validate(study.report) == ReportSpec()


def test_a_value_that_works_in_no_cell_is_a_problem_where_it_is_written():
    text = f"name: s\n{GRID}zip: [{{exploration.cold_start: [5, 50]}}]\nbase: {{train.episodes: 20}}\n"
    assert problems(text) == [
        "s.yaml:3:36: zip[0].exploration.cold_start[1]: exploration.cold_start (50) exceeds train.episodes (20)"
    ]


def test_a_design_that_works_in_no_cell_is_a_problem_where_it_is_written():
    text = "name: s\ndesigns:\n  half: {predict: images, space: latent}\n  whole: {predict: rewards, space: latent, "
    text += "dynamics: stochastic}\ngrid: {design: '*', task: toy/point-mass}\n"
    assert problems(text) == ["s.yaml:3:3: designs.half: a model needs dynamics (or a design that sets it)"]


def test_a_value_of_a_factorial_that_works_nowhere_is_named_with_the_combination():
    text = "name: s\nfactorial:\n- axes: {predict: rewards, space: latent, dynamics: stochastic,\n"
    text += "    reward_from: [state, image]}\n  name: f-{reward_from}\ngrid: {design: 'f-*', task: toy/point-mass}\n"
    (line,) = problems(text)
    assert line == (
        "s.yaml:4:26: factorial[0].axes.reward_from[1]: reward_from image needs a design that predicts images "
        "(predict: images) (the design f-image: predict rewards, space latent, dynamics stochastic, reward_from image)"
    )
    whole = text.replace("predict: rewards", "predict: [images, rewards]").replace("f-{", "f-{predict}-{")
    expand(parse_study(whole, "s.yaml"))
    (named,) = problems(whole.replace("'f-*'", "[f-images-image, f-rewards-image]"))
    assert named.startswith(
        "s.yaml:6:33: grid.design[1]: reward_from image needs a design that predicts images"
    )


def test_nothing_of_a_factorial_that_makes_sense_is_a_problem():
    text = "name: s\nfactorial:\n- axes: {predict: rewards, space: [latent, pixel], dynamics: stochastic,\n"
    text += "    reward_gradient: [stopped, separate]}\ngrid: {design: '*', task: toy/point-mass}\n"
    places = {line.partition(": ")[2].partition(":")[0] for line in problems(text)}
    assert places == {"factorial[0].axes.reward_gradient[0]", "factorial[0].axes.reward_gradient[1]"}


def test_a_hand_written_design_that_makes_no_sense_stays_a_problem():
    text = "name: s\ndesigns:\n  a: {predict: images, space: latent, dynamics: stochastic}\n"
    text += "  b: {predict: rewards, space: latent, dynamics: stochastic, reward_from: image}\n"
    text += "grid: {design: '*', task: toy/point-mass}\n"
    (line,) = problems(text)
    assert line.startswith("s.yaml:4:75: designs.b.reward_from: reward_from image needs")


def test_a_width_is_reported_where_it_stands():
    text = "name: s\ndesigns:\n  a: {predict: images, space: latent, dynamics: stochastic,\n"
    text += "      model.widths: {units: 8, unitss: 9}}\ngrid: {design: a, task: toy/point-mass}\n"
    (line,) = problems(text)
    assert line.startswith("s.yaml:4:40: designs.a.model.widths.unitss: model.widths: no width unitss")


def test_a_study_of_which_every_cell_is_dropped_is_refused():
    found = problems(f"name: s\n{GRID}exclude: [{{design: 'rewards-*'}}]\n")
    assert found == ["s.yaml:2:7: grid: no run is left: 1 cells excluded by exclude[0] (line 3)"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "train.epsiodes=3",
            "command line: train.epsiodes: unknown field train.epsiodes (did you mean train.episodes?)",
        ),
        ("train.episodes=x", "command line: train.episodes: must be a whole number, not the text 'x'"),
        ("train.episodes", "command line: 'train.episodes' is not field=value"),
        ("=3", "command line: '=3' is not field=value"),
        ("design=x", "command line: design: a design is not overridden: select runs with --only design=..."),
        ("train.episodes=[1", "command line: train.episodes: not YAML"),
        ("seed=range(3)", "command line: seed: must be a whole number"),
        ("env.image_size=010", "command line: env.image_size: 010 is octal"),
        ("space=pixel", "command line: space: space is pixel in a design named rewards-latent-stochastic"),
    ],
)
def test_a_wrong_override_is_a_problem_of_the_command_line(override, expected):
    found = problems(f"name: s\n{GRID}", override)
    assert len(found) == 1
    assert expected in found[0]


def test_an_override_is_given_once():
    text = f"name: s\n{GRID}"
    for second in ("train.batch=3", "train={batch: 4}"):
        assert problems(text, "train.batch=3", second) == ["command line: train.batch: given twice"]


def test_one_runs_file_reports_its_problems_likewise(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("design: imags-latent-stochastic\ntask: toy/point-mass\ntrain: {epsiodes: 1}\n")
    with pytest.raises(StudyError) as caught:
        load_config(path, ["size=x"])
    assert [str(problem.mark).rpartition("/")[2] for problem in caught.value.problems] == [
        "run.yaml:1:9", "run.yaml:3:9", "command line",
    ]  # fmt: skip
    path.write_text("design: images-latent-stochastic\n")
    with pytest.raises(StudyError, match="no task is given"):
        load_config(path)


PLANNERS = "name: s\ngrid: {design: rewards-latent-stochastic, task: [toy/point-mass, toy/catch]%s}\n"


@pytest.mark.parametrize(
    ("more", "overrides", "place"),
    [
        (", planner.name: mppi", (), "s.yaml:2:66: grid.task[1]: planner mppi has no form"),
        ("", ("planner.name=mppi",), "command line: planner.name: planner mppi has no form"),
        (
            "}\nbase: {planner: {proposals: 20, elites: 40}",
            (),
            "s.yaml:3:41: base.planner.elites: planner.elites (40) is more than planner.proposals (20)",
        ),
        (
            "}\nbase: {planner: {elites: 40}}\noverrides: {planner.proposals: 20",
            (),
            "s.yaml:4:32: overrides.planner.proposals: planner.elites (40) is more",
        ),
        (
            "}\nbase: {planner.options: {elites: 4}",
            (),
            "s.yaml:3:34: base.planner.options.elites: planner.options (elites) are for planners of your own",
        ),
    ],
)
def test_what_a_planner_cannot_do_is_told_where_it_is_written(more, overrides, place):
    (line,) = problems(PLANNERS % more, *overrides)
    assert line.startswith(place)


def test_an_oracle_of_an_include_that_cannot_simulate_is_told_how_to_leave_it_out():
    text = f"name: s\n{GRID}include: [{{agent: oracle, task: [toy/point-mass, dmc/quadruped-escape]}}]\n"
    (line,) = problems(text)
    assert line.startswith("s.yaml:3:50: include[0].task[1]: agent oracle plans on the true simulator")
    assert "of an include by not naming it there" in line
