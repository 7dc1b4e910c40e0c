"""Estimates: which short runs a study needs, what they tell, and what follows for its runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.rundir import RunDir
from studies import estimating
from studies.cluster.granting import Measured
from studies.estimate import probes, timing
from studies.estimate.probes import probes_for, shortened
from studies.estimating import Probed, Seconds, forecast, measured_for, shortfalls
from studies.store import StoredRun, StudyDir
from tests.studies import fake_probes
from tests.studies.fake_probes import OPEN_LOOP, STARTUP, TIMES, WARM_UP

BASE = {
    "task": "toy/point-mass",
    "predict": "images",
    "space": "latent",
    "dynamics": "stochastic",
    "train": {"episodes": 100, "updates_per_episode": 40},
    "evaluation": {"every": 10, "episodes": 6, "final_episodes": 18},
}


def config(**fields):
    """A configuration; `section__field` for a nested one."""
    data = {name: dict(value) if isinstance(value, dict) else value for name, value in BASE.items()}
    for name, value in fields.items():
        section, _, field = name.partition("__")
        if field:
            data.setdefault(section, {})[field] = value
        else:
            data[name] = value
    if data.get("agent", "model") != "model":
        data = {name: value for name, value in data.items() if name not in {"predict", "space", "dynamics"}}
    return RunConfig.model_validate(data)


def stored(number=0, **fields):
    """A planned run of such a configuration."""
    made = config(**fields)
    digits = f"{number:012x}"
    data = made.model_dump(mode="json")
    path = StudyDir(Path("/nowhere/s")).runs / f"run-{digits}"
    return StoredRun(f"run-{digits}", digits, made.label, made.task, made.seed, data, path)


def one_probe(**fields):
    (probe,) = probes_for([stored(**fields)])
    return probe


def probed(**fields):
    """What a probe of `BASE` told; 1,000 MB."""
    told = Probed(
        key=one_probe().key,
        run="a-run",
        design="images-latent-stochastic",
        size="paper",
        task="toy/point-mass",
        code="c0de",
        where={},
        host="n1",
        device="cpu",
        time=0.0,
        seconds=Seconds(),
        steps=50.0,
        final_episodes=4,
        memory_mb=1000 / 1.048576,
    )
    return replace(told, **fields)


def test_runs_that_cost_the_same_share_a_probe():
    same = [
        stored(0, seed=3),
        stored(1, seed=1),
        stored(2, train__learning_rate=1e-4),
        stored(3, train__episodes=500, evaluation__every=20),
        stored(4, planner__discount=0.9, storage__training_frames="all"),
        stored(5, resources__hours=3.0, design="named"),
    ]
    (probe,) = probes_for(same)
    assert (len(probe.runs), probe.config.seed) == (6, 0)
    other = [
        stored(6, size="tiny"),
        stored(7, planner__horizon=6),
        stored(8, env__image_size=32),
        stored(9, train__batch=10),
        stored(10, runtime__device="cpu"),
        stored(11, agent="random"),
        stored(12, agent="oracle"),
        stored(13, train__precision="bfloat16"),
    ]
    found = probes_for([*other, *same])
    assert [probe.runs[0].hex for probe in found[:-1]] == [run.hex for run in other]
    assert found[-1].key == probe.key
    assert probes_for([*other, *same], iterations=9)[-1].key == probe.key


def test_a_probe_is_short_and_otherwise_the_run():
    real = config(resources__hours=48.0, resources__runs_per_gpu=3, storage__training_frames="all")
    short = shortened(real)
    assert (short.train.episodes, short.exploration.cold_start) == (7, 5)
    assert (short.evaluation.every, short.evaluation.episodes, short.evaluation.final_episodes) == (1, 4, 4)
    assert (short.resources.hours, short.resources.runs_per_gpu) == (1.0, 1)
    assert RunConfig.model_validate(short.model_dump(mode="json")) == short
    kept = ("task", "seed", "size", "env", "model", "planner", "runtime")
    assert all(getattr(short, name) == getattr(real, name) for name in kept)
    assert (short.train.batch, short.evaluation.starts) == (real.train.batch, real.evaluation.starts)


@pytest.mark.parametrize(
    ("fields", "episodes", "every"),
    [
        ({"train__episodes": 6}, 6, 6),  # no evaluation comes before its end
        ({"train__episodes": 5, "evaluation__every": 1}, 5, 5),
        ({"exploration__cold_start": 80}, 7, 1),
        ({"data__mode": "offline", "data__dataset": "mine"}, 3, 1),
    ],
)
def test_a_probe_does_nothing_that_the_run_does_not(fields, episodes, every):
    short = shortened(config(**fields))
    assert (short.train.episodes, short.evaluation.every) == (episodes, every)


@pytest.mark.parametrize("episodes", [5, 6, 10, 11, 40, 41])
@pytest.mark.parametrize("every", [1, 5, 10])
@pytest.mark.parametrize("fields", [{}, {"data__mode": "offline", "data__dataset": "mine"}])
def test_the_count_of_evaluations_is_that_of_the_loop(episodes, every, fields):
    made = config(train__episodes=episodes, evaluation__every=every, **fields)
    trained = 1 if made.offline else made.exploration.cold_start
    assert probes.evaluations(made) == sum(
        done >= trained and done % every == 0 for done in range(1, episodes)
    )


@pytest.mark.parametrize("offline", [False, True])
def test_what_a_probe_tells_is_what_its_parts_took(tmp_path, offline):
    """The first of several is left out: it warms up, or waits for the probe dataset."""
    fields = {"data__mode": "offline", "data__dataset": "mine"} if offline else {}
    probe = one_probe(**fields)
    run = RunDir.create(tmp_path / "run", probe.config)
    fake_probes.leave(run)
    told = timing.measure(probe, run, "local")
    collected = {} if offline else {name: TIMES[name] for name in ("cold", "collect", "coverage")}
    plans = 3 * 50 if offline else 5 * 50  # two evaluations, a final phase, and two planned episodes
    assert told.seconds == Seconds(
        startup=STARTUP,
        once=WARM_UP if offline else 2 * WARM_UP,
        update=TIMES["update"],
        play=TIMES["play"],
        play_final=TIMES["play_final"],
        open_loop=2 * OPEN_LOOP,
        plan=20.0 / plans,
        **collected,
    )
    assert (told.memory_mb, told.steps, told.code, told.host) == (1500.0, 50.0, "c0de", "n1")
    assert told.gpu_memory_mb is None


@pytest.mark.parametrize(("agent", "episode"), [("random", 17.0), ("oracle", 17.0)])
def test_agents_without_a_model_are_timed_by_their_attempt(tmp_path, agent, episode):
    probe = one_probe(agent=agent)
    run = RunDir.create(tmp_path / "run", probe.config)
    fake_probes.leave(run)
    told = timing.measure(probe, run, "local")
    assert told.seconds == Seconds(startup=STARTUP / 2, collect=episode)
    groups = {"random": 5, "oracle": 18}[agent]  # 18 episodes, 4 side by side or one after another
    assert forecast(config(agent=agent), told).seconds == STARTUP / 2 + groups * episode


def test_a_probe_without_its_records_tells_nothing(tmp_path):
    probe = one_probe()
    run = RunDir.create(tmp_path / "run", probe.config)
    with pytest.raises(ValueError, match="neither when it began"):
        timing.measure(probe, run, "local")
    fake_probes.leave(run)
    run.metrics.write_text("")
    with pytest.raises(ValueError, match="no line of a final phase"):
        timing.measure(probe, run, "local")


def test_a_forecast_is_the_sum_of_the_parts(tmp_path):
    """The records of a whole run, told by the same clock, take what its probe foretells, the warming up aside."""
    run = RunDir.create(tmp_path / "whole", config(evaluation__episodes=4, evaluation__final_episodes=4))
    fake_probes.leave(run)
    whole = list(run.read_metrics())[-1]["wall_seconds"] + STARTUP
    probe = one_probe()
    short = RunDir.create(tmp_path / "short", probe.config)
    fake_probes.leave(short)
    told = timing.measure(probe, short, "local")
    assert forecast(run.read_config(), told).seconds == pytest.approx(whole - TIMES["first"])
    longer = forecast(config(), told)  # 6 and 18 episodes, 4 side by side: one and four groups more
    assert longer.seconds == pytest.approx(
        whole - TIMES["first"] + 9 * TIMES["play"] + 4 * TIMES["play_final"]
    )
    assert longer.per_episode == TIMES["collect"] + TIMES["coverage"] + 40 * TIMES["update"]


def test_limits_have_room_to_spare_and_are_rounded_up():
    told = probed(seconds=Seconds(startup=7201.0), memory_mb=5000 / 1.048576)
    found = forecast(config(evaluation__final_episodes=4), told)
    assert (found.seconds, found.limit(), found.memory_gb) == (7201.0, 3.25, 7.0)
    more = forecast(
        config(evaluation__final_episodes=4004, env__image_size=100), told
    )  # 50 steps x 30 kB: 6 GB
    assert more.memory_gb == 15.0
    assert forecast(config(), probed()).memory_gb == estimating.LEAST_GB


@pytest.mark.parametrize(
    ("used", "total", "fit"),
    [(None, None, 1), (1000.0, None, 1), (1000.0, 8000.0, 3), (1000.0, 80000.0, 4), (9000.0, 8000.0, 1)],
)
def test_runs_that_fit_a_gpu(used, total, fit):
    found = forecast(
        config(), probed(seconds=Seconds(startup=3600.0), gpu_memory_mb=used, gpu_total_mb=total)
    )
    assert found.runs_per_gpu == fit
    assert found.beside(2) == 3600 * (1 if used is None else 2)


def test_what_was_measured_is_granted_where_the_study_says_nothing(tmp_path):
    study = StudyDir(tmp_path)
    assert measured_for(study)(config().model_dump(mode="json")) is None
    told = probed(
        seconds=Seconds(startup=3600.0, cold=1.0), memory_mb=6000.0, gpu_memory_mb=1e3, gpu_total_mb=8e3
    )
    estimating.write_estimates(study, {told.key: told})
    assert estimating.read_estimates(study) == {told.key: told}
    grant = measured_for(study)
    measured = grant(config(seed=9, train__learning_rate=1e-5).model_dump(mode="json"))
    assert measured == Measured(9.0, 3.25, 3, told.source)  # 3605 s, twice as long beside two others, x 1.5
    packed = grant(config(resources__runs_per_gpu=1).model_dump(mode="json"))
    assert packed is not None
    assert packed.hours == 1.75
    assert grant(config(size="tiny").model_dump(mode="json")) is None
    (tmp_path / estimating.ESTIMATE).write_text("{half a fi")
    assert measured_for(study)(config().model_dump(mode="json")) is None


def test_limits_below_what_was_measured_are_warned_of():
    told = probed(
        seconds=Seconds(startup=7200.0), memory_mb=4000 / 1.048576, gpu_memory_mb=7e3, gpu_total_mb=8e3
    )

    def predict(_):
        return forecast(config(), told)

    enough = {"resources__hours": 2.0, "resources__memory_gb": 4.0, "resources__gpus": 1}
    assert shortfalls([stored(0), stored(1, **enough)], predict) == []
    little = {"resources__hours": 0.5, "resources__memory_gb": 2.0}
    hours, memory = shortfalls([stored(number, seed=number, **little) for number in range(2)], predict)
    assert hours.startswith("resources.hours is 0.5, and a run of images-latent-stochastic on toy/point-mass")
    assert hours.endswith("is expected to take 2: several allocations, one after another, carry it (2 runs)")
    assert "took 4: it will be killed for its memory (2 runs)" in memory
    (packed,) = shortfalls([stored(0, resources__gpus=1, resources__runs_per_gpu=2)], predict)
    assert "runs_per_gpu is 2, and 1 fit" in packed
    assert shortfalls([stored(0, **little)], lambda _: None) == []
