"""What a run is granted: who has the last word on each field, and what failures change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.cluster.granting import Granted, Measured, follow_up, granted
from studies.cluster.policy import Decision
from studies.cluster.records import Entry
from tests.studies import fakes

DEFAULTS = {"memory_gb": 8.0, "hours": 24.0, "runs_per_gpu": 1}
maybe = st.none() | st.integers(1, 50)
fields = st.fixed_dictionaries(
    {"memory_gb": maybe.map(lambda v: v and float(v)), "hours": maybe, "runs_per_gpu": maybe}
)


class Says:
    """A profile that says the same of every run."""

    def __init__(self, **fields):
        self.fields = fields

    def grants(self, config):
        assert config["task"] == "toy/point-mass"
        return self.fields


def config(**resources):
    data = fakes.config().model_dump(mode="json")
    data["resources"] |= resources
    return data


def decision(**changes):
    return Decision(start=True, entry=Entry("0" * 12), **changes)


@given(study=fields, measured=fields, profile=fields)
def test_the_study_wins_then_what_was_measured_then_the_profile_then_a_default(study, measured, profile):
    found = granted(config(**study), profile=Says(**profile), measured=Measured(**measured))
    for name, default in DEFAULTS.items():
        words = [study[name], measured[name], profile[name], default]
        assert getattr(found, name) == next(word for word in words if word is not None), name


def test_a_profile_gives_what_a_study_does_not_name():
    profile = Says(partition="gpu", account="lab", cpus=16, gpus=4)
    found = granted(config(partition="fast"), profile=profile)
    assert (found.partition, found.account) == ("fast", "lab")
    assert (found.gpus, found.cpus) == (0, 2)  # a plan always has these two


def test_without_a_word_from_anyone_there_are_defaults():
    assert granted(config()) == Granted()
    assert granted(config(), decision=decision()) == Granted()


def test_failures_raise_memory_and_hours_and_part_a_run_from_others():
    before = config(memory_gb=10.0, hours=6.0, runs_per_gpu=4, exclude="n1,n2")
    found = granted(before, decision=decision(memory=2.25, hours=2.0, alone=True, exclude=("n3", "n3")))
    assert (found.memory_gb, found.hours, found.runs_per_gpu, found.exclude) == (22.5, 12.0, 1, "n1,n2,n3")


def test_what_is_granted_tells_classes_apart():
    assert len({granted(config()), granted(config()), granted(config(hours=2.0))}) == 2


def test_a_follow_up_is_small_and_goes_where_the_runs_go():
    like = Granted(gpus=2, cpus=8, memory_gb=64, hours=72, partition="gpu", account="lab", constraint="a100")
    found = follow_up(like, {"partition": "cpu", "cpus": 2})
    assert found == Granted(cpus=2, memory_gb=2, hours=3, partition="cpu", account="lab")


@pytest.mark.parametrize("name", ["gres", "nodelist", "exclude", "begin", "nice", "sbatch", "parallel"])
def test_a_follow_up_does_not_wait_for_what_only_runs_need(name):
    value = 3 if name in {"nice", "parallel"} else "x"
    assert getattr(follow_up(Granted(**{name: value}), {}), name) is None
