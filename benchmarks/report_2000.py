"""How long a report on a whole sweep takes: 2,000 runs of 1,000 evaluations each, and again with ten runs changed.

    python -m benchmarks.report_2000                      # from the root of the repository; 2 GB, removed at its end
    python -m benchmarks.report_2000 --keep DIR           # the study stays there, and is used again
    python -m benchmarks.report_2000 --keep DIR --profile load

Each step runs in a process of its own: the seconds include the start of Python, the memory is its peak.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np

from harness.config import RunConfig
from harness.rundir import RunDir, RunState
from studies.freeze import freeze
from studies.language import load_study
from studies.plan import build_plan

STUDY = Path(__file__).resolve().parent.parent / "studies" / "paper" / "online.yaml"
EPISODES, EVERY, PLAYED, MEASURED, HORIZON = 1000, 4, 4, 50, 12
FINAL, STARTS, CONTEXT = 20, 128, 5
CHANGED = 10
IMAGES = ("image_error", "image_error_mean", "image_error_moving", "image_error_baseline")
REWARDS = ("reward_error", "reward_error_mean", "reward_error_baseline")
HOLE = "@@"
STEPS = {
    "load": "from analysis.load import load; results = load([path])",
    "evidence": "from analysis.load import load; from analysis.material import Material; "
    "Material(load([path])).evidence",
    "findings": "from analysis.load import load; from analysis.material import Material; "
    "Material(load([path])).findings",
    "report": "from analysis.report import build_report; build_report([path])",
}


def main():
    """Prints seconds and peak memory of each step, the first time and after a change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seeds", type=int, default=19, help="15 designs x 7 tasks x seeds, and the baselines"
    )
    parser.add_argument("--keep", type=Path, help="directory for the study, which is not removed")
    parser.add_argument(
        "--profile", choices=STEPS, help="where that step spends its time, in place of timing"
    )
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=list(STEPS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.keep or Path(folder)
        study = root / "online"
        if not study.exists():
            began = time.perf_counter()
            number = write(root, options.seeds)
            print(
                f"{number} runs written in {time.perf_counter() - began:.0f} s, {_size(study) / 1e9:.1f} GB"
            )
        if options.profile:
            measured(study, options.profile, profile=True)
            return
        shutil.rmtree(study / "report-cache", ignore_errors=True)
        for words in ("first", "second"):
            for step in options.steps:
                seconds, cpu, gib = measured(study, step)
                print(f"{words} {step}: {seconds:.1f} s ({cpu:.1f} s of CPU), {gib:.2f} GiB", flush=True)
                if words == "first" and step != options.steps[-1]:
                    shutil.rmtree(study / "report-cache", ignore_errors=True)
                if words == "second" or step == options.steps[-1]:
                    change(study)


def measured(study, step, *, profile=False):
    """Seconds, those of CPU, and peak GiB of a step in a process of its own."""
    code = f"import sys; from pathlib import Path; path = Path(sys.argv[1]); {STEPS[step]}"
    command = [sys.executable, *(["-m", "cProfile", "-s", "cumulative"] if profile else ["-c", code])]
    if profile:
        script = study.parent / "profiled.py"
        script.write_text(code)
        command.append(str(script))
        environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
        done = subprocess.run(
            [*command, str(study)], capture_output=True, text=True, check=True, env=environment
        )
        print("\n".join(done.stdout.splitlines()[:80]))
        return 0.0, 0.0, 0.0
    began = time.perf_counter()
    process = subprocess.Popen([*command, str(study)])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{step} failed")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def write(root, seeds):
    """The study of the paper with so many seeds, every run finished; the number of runs."""
    text = STUDY.read_text()
    for old, new in (("seed: range(5)", f"seed: range({seeds})"), ("every: 20", f"every: {EVERY}")):
        assert old in text
        text = text.replace(old, new, 1)
    root.mkdir(parents=True, exist_ok=True)
    file = root / "online.yaml"
    file.write_text(text)
    plan = build_plan(load_study(file), root)
    home = freeze(plan)
    jobs = [(str(home.runs / run.id), run.config, run.design) for run in plan.runs]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_write_run, jobs, chunksize=20))
    return len(jobs)


def change(study):
    """Ten finished runs of as many designs and tasks were evaluated again: their returns differ."""
    for path in sorted((study / "runs").glob("*-s3-*"))[::11][:CHANGED]:
        metrics = path / "metrics.jsonl"
        records = [json.loads(line) for line in metrics.read_text().splitlines()]
        for record in records:
            if record["kind"] == "evaluation":
                record["return"] *= 0.99
        metrics.write_text("".join(json.dumps(record) + "\n" for record in records))


def _write_run(job):
    path, content, design = job
    config = RunConfig.model_validate(content)
    run = RunDir(path)
    run.path.mkdir(parents=True)
    run.config_file.write_text("{}\n")  # the plan is read in its place
    rng = np.random.default_rng(list(hashlib.sha256(path.encode()).digest()[:8]))
    quality = {"random": 0.0, "oracle": 1.0}.get(config.agent)
    if quality is None:
        quality = (
            0.3
            + 0.3 * (config.predict == "images")
            + 0.05 * int(hashlib.sha256(design.encode()).hexdigest(), 16) / 16**64
        )
    records = _records(config.agent, config.predict == "images")
    numbers = _numbers(records, quality, rng)
    text = (_template(config.agent, config.predict == "images") % tuple(numbers.tolist())).encode()
    run.metrics.write_bytes(text)
    _write_summary(run, records, numbers, text)
    model = config.agent == "model"
    state = RunState(
        run.id, "done", iteration=EPISODES * model, iterations=EPISODES * model, progress=1.0, phase="done"
    )
    run.state_file.write_text(json.dumps(asdict(state)))
    start = {
        "event": "start",
        "attempt": 1,
        "time": 1.7e9,
        "code": "c0de00000001",
        "commit": "c" * 40,
        "dirty": False,
    }
    start |= {"environment": "e" * 12, "device": "cuda:0", "rendering": "egl", "threads": 2, "numeric": {}}
    end = {"event": "end", "attempt": 1, "time": 1.7e9 + 9e4, "ending": "done", "peak_memory_mb": 900.0}
    run.attempts.write_text("".join(json.dumps(line) + "\n" for line in (start, end)))
    if model:
        run.forecasts.mkdir()
        source = _forecasts(
            run.path.parent.parent, config.task, config.predict == "images", config.dynamics == "stochastic"
        )
        for name in ("probe", "own"):
            os.link(source, run.forecasts / f"{name}.npz")


@cache
def _records(agent, images):
    """The records of a run; numbers that are drawn are `HOLE`."""
    found = []
    total = EPISODES if agent == "model" else 0
    for i in range(total):
        where = _where(i + 1)
        found.append(
            {"kind": "episode", **where, "return": HOLE, "length": 125, "episode": i, "behaviour": "noise"}
        )
        found.append(
            {
                "kind": "coverage",
                **where,
                "entropy": HOLE,
                "knn_distance": HOLE,
                "states": 2000,
                "episodes": i + 1,
            }
        )
        losses = ("loss", "reward_loss", "image_loss", "kl", "gradient_norm", "seconds")
        found.append({"kind": "train", **where} | dict.fromkeys(losses, HOLE))
        if (i + 1) % EVERY == 0:
            found += [_evaluation(where, "scheduled", k) for k in range(PLAYED)]
        if (i + 1) % (EPISODES // MEASURED) == 0:
            found.append(_open_loop(where, "scheduled", "probe", images))
    end = _where(total)
    found += [_evaluation(end, "final", k) for k in range(FINAL)]
    if agent == "model":
        found += [_open_loop(end, "final", name, images) for name in ("probe", "own")]
    cost = {
        "parameters": 1_200_000,
        "training_parameters": 2_400_000,
        "flops_per_step": 1.3e6,
        "train_seconds": HOLE,
    }
    cost |= {"plan_seconds": HOLE, "collect_seconds": HOLE, "peak_memory_mb": 900.5, "probe": "9f" * 6}
    found.append({"kind": "cost", **end, **cost})
    return found


def _where(i):
    return {"iteration": i, "env_steps": i * 125, "grad_steps": max(0, i - 4) * 100, "wall_seconds": HOLE}


def _evaluation(where, phase, episode):
    return {"kind": "evaluation", **where, "phase": phase, "episode": episode, "return": HOLE, "length": 125}


def _open_loop(where, phase, dataset, images):
    names = (*(IMAGES if images else ()), *REWARDS)
    lists = {name + suffix: [HOLE] * HORIZON for name in names for suffix in ("", "_mse")}
    return {
        "kind": "open_loop",
        **where,
        "phase": phase,
        "dataset": dataset,
        "starts": 128,
        "samples": 16,
        **lists,
    }


@cache
def _template(agent, images):
    lines = (json.dumps(record).replace("%", "%%") + "\n" for record in _records(agent, images))
    return "".join(lines).replace(f'"{HOLE}"', "%r")


@cache
def _holes(agent_images):
    """Of each hole, its kind and name, and how far into the run it is (0 to 1)."""
    kinds, parts = [], []
    for record in _records(*agent_images):
        part = record["iteration"] / EPISODES if record.get("phase") != "final" else 1.0
        for name, value in record.items():
            count = HORIZON if isinstance(value, list) else int(value == HOLE)
            kinds += [name] * count
            parts += [part] * count
    return np.array(kinds), np.array(parts)


def _numbers(records, quality, rng):
    agent = ("model" if len(records) > 100 else "random", any("image_error" in record for record in records))
    kinds, part = _holes(agent)
    noise = rng.normal(size=len(kinds))
    numbers = np.abs(1 + 0.3 * noise)
    returns = kinds == "return"
    level = (
        80 + 800 * quality / (1 + np.exp(-(part[returns] - 0.4) * 10))
        if agent[0] == "model"
        else 80 + 800 * quality
    )
    numbers[returns] = np.clip(level + 20 * rng.normal() + 30 * noise[returns], 0, 1000)
    errors = np.char.startswith(kinds, "image_error")
    numbers[errors] = (12 - 8 * quality) * np.abs(1 + 0.05 * noise[errors])
    return numbers


def _write_summary(run, records, numbers, text):
    """As `harness.summary` writes it."""
    arrays, values, kinds = {}, iter(numbers.tolist()), {}
    for record in records:
        kinds.setdefault(record["kind"], []).append(
            {
                name: [next(values) for _ in value]
                if isinstance(value, list)
                else next(values)
                if value == HOLE
                else value
                for name, value in record.items()
                if name != "kind"
            }
        )
    for kind, rows in sorted(kinds.items()):
        for name in sorted(rows[0]):
            arrays[f"{kind}/{name}"] = np.array([row[name] for row in rows])
    meta = {"schema": 1, "id": run.id, "ending": "done", "metrics_sha256": hashlib.sha256(text).hexdigest()}
    with run.summary.open("wb") as file:
        np.savez_compressed(file, meta=np.array(json.dumps(meta)), **arrays)


@cache
def _forecasts(folder, task, images, stochastic):
    """Forecasts from 128 starts, as large as real ones; runs of one kind share a file."""
    file = folder / f".forecasts-{task.replace('/', '-')}-{images:d}{stochastic:d}.npz"
    if not file.exists():
        rng = np.random.default_rng([len(task), ord(task[-1])])
        x = rng.uniform(0, 40, (STARTS, 1)) + np.arange(CONTEXT + HORIZON) * rng.uniform(-1, 1, (STARTS, 1))
        frames = _frames(x)
        reward = rng.uniform(0, 1, (STARTS, HORIZON)).astype(np.float32)
        start = np.stack([np.arange(STARTS) % 24, 10 + np.arange(STARTS)], axis=1)
        arrays = {
            "context": frames[:, :CONTEXT],
            "truth": frames[:, CONTEXT:],
            "reward": reward,
            "start": start,
        }
        arrays["reward_forecast"] = reward + 0.1
        if images:
            arrays["image"] = _frames(x[:, CONTEXT:] + 0.5)
            if stochastic:
                arrays["sample"] = _frames(x[:, CONTEXT:] - 0.5)
        side = file.with_suffix(f".{os.getpid()}.npz")
        np.savez_compressed(side, **arrays)
        side.replace(file)
    return file


def _frames(x):
    """A disc at x on a gradient, u8[n, t, 3, 64, 64]."""
    rows, columns = np.mgrid[0:64, 0:64]
    disc = (columns - 12 - x[..., None, None]) ** 2 + (rows - 40) ** 2 < 60
    background = np.stack([40 + rows, 60 + rows, 110 + columns]).astype(np.uint8)
    return np.where(disc[:, :, None], np.array([200, 160, 40], np.uint8)[:, None, None], background)


def _size(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
