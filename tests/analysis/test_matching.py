"""Which designs differ in one thing alone: also where a field is neutral, unused, or named apart."""

import itertools

import pytest

from analysis.matching import Pair, field_of, forms, matched, rest, rests
from tests.analysis.claims.build import TASKS, configs, configs_of, design, planned

CORNERS = [
    "-".join(each)
    for each in itertools.product(("images", "rewards"), ("latent", "pixel"), ("stochastic", "deterministic"))
]


def frame_of(*designs, tasks=TASKS[:1], seeds=1):
    return planned(configs(*designs, tasks=tasks, seeds=seeds))


@pytest.mark.parametrize(
    ("axis", "first", "second"),
    [
        ("predict", "images", "rewards"),
        ("space", "latent", "pixel"),
        ("dynamics", "stochastic", "deterministic"),
    ],
)
def test_each_axis_of_the_eight_corners_has_four_pairs(axis, first, second):
    frame = frame_of(*map(design, CORNERS))
    pairs = matched(frame, axis, first, second)
    assert len(pairs) == 4
    assert all(pair.first.replace(first, second) == pair.second for pair in pairs)


def test_fields_that_one_of_the_two_does_not_use_are_no_difference():
    shared = {
        "model": {"dropout": 0.3, "image_scale": 0.5, "scheduled_sampling": 0.5, "open_loop_futures": 4}
    }
    frame = frame_of(*(design(name, **shared) for name in CORNERS))
    assert len(matched(frame, "predict", "images", "rewards")) == 4
    assert len(matched(frame, "space", "latent", "pixel")) == 4


def test_another_field_that_differs_is_a_difference():
    frame = frame_of(
        design("images-latent-stochastic", train={"batch": 20}), design("rewards-latent-stochastic")
    )
    assert matched(frame, "predict", "images", "rewards") == []


def test_neutral_values_are_values():
    corner = "images-latent-stochastic"
    frame = frame_of(
        design(corner, design="shared"),
        design(corner, design="stopped", reward_gradient="stopped"),
        design(corner, design="image", reward_from="image"),
        design(corner, design="window", model={"variant": "window"}),
        design(corner, design="paper", size="paper"),
        design(corner, design="half", image_fraction=0.5),
        design(corner, design="long", planner={"horizon": 24}),
    )
    assert matched(frame, "reward_gradient", "shared", "stopped") == [Pair("shared", "stopped")]
    assert matched(frame, "reward_from", "state", "image") == [Pair("shared", "image")]
    assert matched(frame, "model.variant", "standard", "window") == [Pair("shared", "window")]
    assert matched(frame, "size", "small", "paper") == [Pair("shared", "paper")]
    assert matched(frame, "image_fraction", 1.0, 0.5) == [Pair("shared", "half")]
    assert matched(frame, "planner.horizon", 12, 24) == [Pair("shared", "long")]
    assert field_of({}, "planner.horizon") == 12
    assert field_of({"planner.horizon": 24}, "planner.horizon") == 24


def test_rewards_are_paired_with_the_whole_image_at_the_weight_that_most_designs_have():
    corner = "images-latent-stochastic"
    weak = [design(corner, design=f"weak-{weight}", model={"image_scale": weight}) for weight in (0.25, 0.5)]
    parts = [design(corner, design=f"part-{part}", image_fraction=part) for part in (0.0, 0.5)]
    others = [design(name) for name in CORNERS if name != corner]
    frame = frame_of(*weak, *parts, design(corner), *others)
    pairs = matched(frame, "predict", "images", "rewards")
    assert Pair(corner, "rewards-latent-stochastic") in pairs
    assert len(pairs) == 4


def test_what_a_task_sets_for_itself_is_compared_within_the_task():
    names = ("images-latent-stochastic", "rewards-latent-stochastic")
    runs = [
        run
        for task, repeat in zip(TASKS[:2], (4, 8), strict=True)
        for run in configs(
            *(design(name, env={"action_repeat": repeat}) for name in names), tasks=[task], seeds=1
        )
    ]
    frame = planned(runs)
    assert matched(frame, "predict", "images", "rewards") == [Pair(*names)]
    other = frame[(frame["task"] == TASKS[0]) != (frame["predict"] == "images")]
    assert matched(other, "predict", "images", "rewards") == []


def test_online_and_offline_runs_are_matched_by_what_they_are_whatever_they_are_called():
    frame = planned(configs_of(["online", "offline"], TASKS[:1], 1))
    assert any("(on mixed)" in label for label in frame["design"])
    halves = [
        forms(frame[frame["offline"] == value], "predict", ("exploration.",)) for value in (False, True)
    ]
    online, offline = (set(half["family"]) for half in halves)
    assert online == offline
    assert not set(halves[0]["design"]) & set(halves[1]["design"])
    assert not set(halves[0]["cell"]) & set(halves[1]["cell"])
    both = matched(frame, "predict", "images", "rewards")
    assert len(both) == 10  # data are no field: no pair has one design online and the other offline
    assert all(("(on mixed)" in pair.first) == ("(on mixed)" in pair.second) for pair in both)


def test_runs_that_are_configured_alike_share_their_fields():
    frame = planned(configs_of(["online"], TASKS[:2], 2))
    frame = frame[frame["agent"] == "model"]
    assert len({id(fields) for fields in frame["fields"]}) == frame["design"].nunique()
    assert len(set(rests(frame, ()))) == frame["design"].nunique()
    assert rest({"a.b": 1, "a.c": 2, "d": 3}, ("a.",)) == '{"d": 3}'


def test_no_rows_have_no_pairs():
    frame = frame_of(design("images-latent-stochastic")).iloc[:0]
    assert forms(frame, "predict").empty
    assert matched(frame, "predict", "images", "rewards") == []
