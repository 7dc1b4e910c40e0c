"""A dataset fits a run only if it shows what the run sees."""

import pytest

from harness.config.sections import EnvConfig
from harness.datasets.fitting import env_complaint
from harness.tasks import find_task


@pytest.mark.parametrize(
    ("task", "there", "here", "complaint"),
    [
        ("dmc/cheetah-run", {}, {}, ""),
        ("dmc/cheetah-run", {"time_limit": 200}, {}, ""),
        (
            "dmc/cheetah-run",
            {"action_repeat": 2},
            {},
            "action repeat 2, the run has 4; set env.action_repeat: 2",
        ),
        ("dmc/cheetah-run", {"action_repeat": 4}, {}, ""),
        ("dmc/cheetah-run", {"camera": 1}, {}, "env.camera 1, the run has 0"),
        ("dmc/cheetah-run", {}, {"antialiasing": 0}, "env.antialiasing 4, the run has 0"),
        ("toy/point-mass", {"antialiasing": 0}, {}, ""),
        ("atari/Pong", {"sticky": 0.0}, {}, "env.sticky 0.0, the run has None"),
        ("atari/Pong", {"camera": 1}, {}, ""),
    ],
)
def test_what_differs_is_named_where_it_is_seen(task, there, here, complaint):
    made = EnvConfig(**there)
    repeat = find_task(task, EnvConfig(action_repeat=made.action_repeat)).spec.action_repeat
    recipe = {"env": made.model_dump(mode="json"), "action_repeat": repeat}
    env = EnvConfig(**here)
    found = env_complaint(recipe, env, find_task(task, env).spec)
    assert complaint in found
    assert bool(found) == bool(complaint)


def test_an_import_that_says_nothing_is_taken_at_its_word():
    env = EnvConfig(camera=1)
    assert not env_complaint({"kind": "import"}, env, find_task("dmc/cheetah-run", env).spec)
