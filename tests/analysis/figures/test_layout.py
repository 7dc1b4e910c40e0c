"""Every figure at both widths, on whole, troubled and little data: nothing overlaps or leaves the page."""

from dataclasses import replace

import pytest
from matplotlib.text import Text

from analysis.colours import corners
from analysis.drawing import draw
from analysis.figures.registry import FIGURES
from analysis.load import load
from analysis.material import Material
from analysis.style import COLUMN, PAGE, TALLEST, print_style
from tests.analysis.figures.pictures import faults, material, simulated
from tests.analysis.synthetic import FIVE, Design, Options, named, variants, write_study

TASK = "dmc/cartpole-swingup"
TASKS = (TASK, "dmc/ball_in_cup-catch", "dmc/reacher-easy")
PARTIAL = {
    ("images-latent-stochastic", TASK, 0): "running",
    ("images-latent-deterministic", TASK, 1): "diverged",
    ("rewards-latent-stochastic", TASK, 0): "failed",
    ("rewards-latent-deterministic", TASK, 0): "pending",
    ("rewards-latent-deterministic", TASK, 1): "pending",
}
LONG = Design("a-design-of-many-words-in-one-name", 0.5, named("images-latent-stochastic").axes)
FORMS = [
    ("images-latent-stochastic", {"reward_from": source, "model": {"variant": variant}})
    for source in ("state", "image")
    for variant in ("standard", "window")
]
GRID = tuple(
    replace(named(name, i / 4), axes=named(name).axes | fields) for i, (name, fields) in enumerate(FORMS)
)
DISK = {
    "partial": Options(episodes=8, states=PARTIAL, oracle=({"horizon": 12},)),
    "one run": Options(episodes=8, designs=FIVE[:1], seeds=1, random_agent=False, forecasts=False),
    "nan": Options(episodes=8, random_agent=False, nan_errors={(design.name, TASK, 0) for design in FIVE}),
    "rewards only": Options(episodes=8, designs=FIVE[2:]),
    "many": Options(episodes=8, designs=FIVE[:3] + variants(5), tasks=TASKS, seeds=1),
    "grid without names": Options(episodes=8, designs=(*GRID, LONG)),
    "grid on tasks": Options(episodes=8, designs=GRID, tasks=TASKS, seeds=1),
}
SIMULATED = {
    "online and offline": (("online", "offline"), False),
    "online in trouble": (("online",), True),
    "dose": (("dose_response",), False),
    "planner": (("planner",), True),
    "crossed": (("cross_training",), False),
    "sharing": (("sharing",), True),
    "capacity": (("capacity",), False),
}
LONG_NAMES = {"scores", "completeness", "aggregates", "learning_curves", "profiles"}
"""What shows the names of designs, which are long where studies vary fields."""
EXPECTED = {
    "online in trouble": {"claims", "completeness", "scores", "aggregates", "learning_curves", "correlation"},
    "online and offline": {
        "online_offline",
        "ranks",
        "correlation",
        "correlation_map",
        "factorial",
        "coverage",
    },
    "dose": {"dose_response"},
    "planner": {"planner"},
    "crossed": {"cross_training"},
    "sharing": {"sharing"},
    "capacity": {"capacity", "cost"},
}


def check(each, width):
    assert faults(each.figure) == ([], []), each.name
    sizes = {text.get_fontsize() for text in each.figure.findobj(Text) if text.get_text().strip()}
    assert min(sizes) >= 7
    assert max(sizes) <= 9
    across = each.figure.get_figwidth()
    assert across <= PAGE if width == "auto" else across == {"column": COLUMN, "page": PAGE}[width]
    assert each.figure.get_figheight() <= TALLEST + 0.8, each.name
    assert len(each.data)
    assert "seed" in each.caption, each.name
    assert each.caption.endswith(".")
    assert "nan" not in each.caption.split()


@pytest.mark.slow
@pytest.mark.parametrize("case", DISK)
def test_figures_of_studies_on_disk(tmp_path, case):
    results = load([write_study(tmp_path, options=DISK[case])])
    for width in ("column", "page"):
        with print_style():
            drawn = [each for _, each in draw(Material(results, width))]
            assert drawn
            for each in drawn:
                check(each, width)


@pytest.mark.slow
@pytest.mark.parametrize("width", ["column", "page"])
@pytest.mark.parametrize("case", SIMULATED)
def test_figures_of_simulated_studies(case, width):
    names, trouble = SIMULATED[case]
    with print_style():
        wanted = EXPECTED[case] | (LONG_NAMES if case == "planner" else set())
        drawn = draw(material(*names, trouble=trouble, width=width), wanted)
        assert {kind.name for kind, _ in drawn} == wanted
        for _, each in drawn:
            check(each, width)


def test_without_data_there_are_only_the_figures_that_say_so(tmp_path):
    names = [design.name for design in FIVE] + ["random"]
    states = {(name, TASK, seed): "pending" for name in names for seed in (0, 1)}
    results = load([write_study(tmp_path, options=Options(states=states))])
    with print_style():
        assert {kind.name for kind, _ in draw(Material(results))} == {"claims", "completeness"}


def test_every_name_is_drawn_by_some_study():
    names = {name for case, (studies, _) in SIMULATED.items() for name in EXPECTED.get(case, ()) if studies}
    on_disk = {
        "claims",
        "completeness",
        "scores",
        "aggregates",
        "profiles",
        "learning_curves",
        "training_returns",
    }
    on_disk |= {"horizon_error", "forecasts", "forecast_seeds"}
    assert names | on_disk == set(FIGURES)


def test_designs_have_looks_by_their_corner():
    results = simulated("online", "offline")
    looks = Material(results).looks
    corner = corners(results.runs)
    for design in results.designs:
        plain = f"{corner[design]} (online)"
        assert looks[design].colour == looks[plain].colour
    assert len({(look.colour, look.marker, look.line) for look in map(looks.get, results.designs)}) == 30
