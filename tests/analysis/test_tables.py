"""Tables in three formats, numbers as macros."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.content import confound_table, correlation_table, score_table
from analysis.load import load
from analysis.numbers import numbers, tex
from analysis.scores import run_scores
from analysis.tables import Table, escape, fixed, interval, latex, markdown, number, save
from tests.analysis.synthetic import FIVE, Options, named, write_study


def test_numbers_are_rounded_to_significant_digits():
    values = (690.4, 0.03456, 12.0, 0.0, -2.256, 1e9, 3e-7, float("nan"), float("inf"))
    shown = [number(value) for value in values]
    assert shown == ["690", "0.0346", "12.0", "0", "−2.26", "1.00e9", "3.00e−7", "—", "—"]
    assert fixed(-0.256) == "−0.26"
    assert (fixed(-1e-17), fixed(-0.004), fixed(float("nan"))) == ("0.00", "0.00", "—")
    assert interval(1.0, 2.0) == "[1.00, 2.00]"
    assert interval(float("nan"), 2.0) == ""


@given(st.floats(-1e6, 1e6, allow_nan=False))
def test_a_shown_number_is_near_its_value(value):
    shown = float(number(value).replace("−", "-"))
    assert shown == pytest.approx(value, rel=6e-3)


def example():
    rows = [["a_b", "1.00", "50 %"], ["c|d", "−2", "ρ"]]
    return Table(
        "t",
        "Title",
        "Caption.",
        ["design", "x", "y & z"],
        rows,
        pd.DataFrame({"design": ["a_b"], "x": [1 / 3]}),
    )


def test_markdown_is_aligned_and_escaped():
    lines = markdown(example()).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ------ | ---: | ----: |"
    assert "c\\|d" in lines[3]


def test_latex_is_booktabs_and_escaped():
    text = latex(example())
    assert r"\begin{tabular}{@{}lrr@{}}" in text
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert r"a\_b & 1.00 & 50 \% \\" in text
    assert r"design & x & y \& z \\" in text
    assert r"$-$2 & $\rho$" in text


def test_latex_names_its_packages_and_wraps_its_comments():
    table = replace(example(), caption="word " * 60)
    lines = latex(table).splitlines()
    assert lines[0] == r"% needs \usepackage{booktabs}"
    assert sum(line.startswith("% ") for line in lines) > 4
    assert max(map(len, lines)) <= 98
    long = replace(table, rows=[["a" * 30, "1.00", "50 %"], ["b", "x" * 90, "2"]])
    assert latex(long).splitlines()[0].endswith("{booktabs,array}")
    assert r"@{}>{\raggedright\arraybackslash}p{" in latex(long)


def test_symbols_and_fields_are_set_as_latex_has_them():
    assert escape("I² = 5 %, τ ≤ ±½ × Δ") == (
        r"I$^2$ = 5 \%, $\tau$ $\leq$ $\pm$$\frac{1}{2}$ $\times$ $\Delta$"
    )
    assert escape("slope of `image_scale`") == r"slope of \texttt{image\_scale}"


@given(st.text(alphabet="\\{}$&%#_~^<>a1", max_size=12))
def test_escaped_text_has_no_bare_special_character(text):
    bare = re.sub(
        r"\\textbackslash\{\}|\\textasciitilde\{\}|\\textasciicircum\{\}|\$[<>]\$|\\[{}$&%#_]",
        "",
        escape(text),
    )
    assert not set(bare) & set("\\{}$&%#_~^<>")


def test_csv_holds_unrounded_values(tmp_path):
    paths = save(example(), tmp_path)
    assert [path.suffix for path in paths] == [".csv", ".md", ".tex"]
    assert paths[0].read_text() == "design,x\na_b,0.33333333\n"
    assert paths[1].read_text().endswith("Caption.\n")


def test_score_table_says_seeds_and_kind_of_interval(results):
    table = score_table(results)
    assert list(table.header) == ["design", "cartpole-swingup", "95 % interval", "seeds"]
    assert len(table.rows) == 6
    assert all(row[2].endswith(" t") and row[3] == "2/2" for row in table.rows)
    assert "Intervals: 95 % Student's t over seeds. t: of fewer than 5 seeds." in table.caption


def test_score_table_has_the_final_and_the_windowed_score_where_there_are_baselines(tmp_path):
    options = Options(designs=FIVE[:2], seeds=3, episodes=20, every=1, oracle=({},), forecasts=False)
    results = load([write_study(tmp_path, options=options)])
    table = score_table(results)
    assert list(table.header)[3:5] == ["final normalised score", "windowed normalised score"]
    assert "H4 and H6 are of it" in table.caption
    found, runs = numbers(results), run_scores(results)
    for design in results.designs:
        mine = runs[runs["design"] == design]
        key = f"score.{design}.{results.tasks[0]}"
        for short, name in (("normalised", "normalised"), ("windowed", "windowed_normalised")):
            assert found[f"{key}.{short}"] == fixed(mine[name].mean())


def test_five_seeds_are_not_marked_but_their_interval_is_named(tmp_path):
    options = Options(designs=FIVE[:1], seeds=5, episodes=8, random_agent=False, forecasts=False)
    table = score_table(load([write_study(tmp_path, options=options)]))
    assert table.rows[0][2].endswith("]")
    assert "Intervals: 95 % Student's t over seeds." in table.caption
    assert "t: of" not in table.caption


def test_the_cost_table_says_what_a_design_sees(results):
    table = confound_table(results)
    seen = {row[0]: row[table.header.index("sees when planning")] for row in table.rows}
    assert seen["images-latent-stochastic"] == seen["rewards-latent-deterministic"] == "all frames, actions"
    assert seen["rewards-pixel-deterministic"] == "2 frames, actions"
    assert "never sees rewards" in table.caption


BLIND = {"legacy": {"blind_inputs": True}}
OWN = "models.rssm:RSSM"


@pytest.mark.parametrize(
    ("name", "fields", "seen"),
    [
        ("images-latent-stochastic", {"reward_from": "image"}, "all frames, actions"),
        ("rewards-latent-deterministic", {"model": {"variant": "window"}}, "2 frames, actions"),
        ("images-latent-stochastic", {"model": {"variant": "window", "context": 4}}, "4 frames, actions"),
        ("images-pixel-stochastic", {}, "2 frames, actions"),
        ("images-pixel-deterministic", {"reward_gradient": "stopped"}, "2 frames, actions"),
        ("images-pixel-deterministic", {"reward_from": "image"}, "2 frames, actions, rewards"),
        ("images-pixel-deterministic", {"reward_gradient": "separate"}, "2 frames, actions"),
        ("rewards-pixel-stochastic", {"model": {"context": 3}}, "3 frames, actions"),
        ("rewards-pixel-deterministic", {"model": {"variant": "feedforward"}}, "2 frames, actions"),
        ("rewards-pixel-deterministic", {"model": {"context": 1}}, "1 frame"),
        ("rewards-pixel-deterministic", {"model": {"variant": "actions"}}, "its actions alone, no past"),
        ("rewards-pixel-stochastic", BLIND, "actions (frames of about 1e-7)"),
        ("rewards-pixel-deterministic", BLIND | {"model": {"context": 1}}, "nothing (frames of about 1e-7)"),
        ("images-pixel-deterministic", BLIND, "frames of about 1e-7, actions"),
        ("images-pixel-deterministic", BLIND | {"model": {"context": 1}}, "frames of about 1e-7"),
        ("images-pixel-stochastic", BLIND | {"reward_from": "image"}, "actions (frames of about 1e-7)"),
        (
            "images-pixel-stochastic",
            BLIND | {"reward_gradient": "separate"},
            "actions (frames of about 1e-7)",
        ),
        ("images-latent-stochastic", {"model": {"name": OWN}}, "its own"),
    ],
)
def test_what_every_form_of_a_design_sees(tmp_path, name, fields, seen):
    design = named(name, 0.5)
    design = replace(design, axes=design.axes | fields)
    options = Options(designs=(design,), seeds=1, episodes=8, random_agent=False, forecasts=False)
    table = confound_table(load([write_study(tmp_path, options=options)]))
    assert table.rows[0][table.header.index("sees when planning")] == seen


def test_correlation_table_has_both_errors_on_common_runs_and_all(results):
    rows = [tuple(row[:3]) for row in correlation_table(results).rows]
    samples = [
        ("image", "image designs"),
        ("reward", "image designs"),
        ("reward", "all designs"),
    ]
    counts = ("2 designs", "2 designs", "5 designs")
    assert rows == [
        (*sample, over) for sample, count in zip(samples, counts, strict=True) for over in (count, "runs")
    ]


def test_macros_agree_with_the_table_and_unknown_keys_are_errors(results):
    found = numbers(results)
    table = score_table(results)
    for row in table.rows:
        assert found[f"score.{row[0]}.dmc/cartpole-swingup.mean"] == row[1]
    assert found["runs.planned"] == found["runs.done"] == "12"
    assert found["correlation.image.image.designs.dmc/cartpole-swingup.r"] == "undefined"
    text = tex(found)
    assert text.count(r"\wm@set{") == len(found)
    assert r"\PackageError{wm}{no number" in text
    assert text.count("{") == text.count("}")


def test_several_tasks_have_a_column_each_and_say_what_is_missing(tmp_path):
    tasks = ("dmc/cartpole-swingup", "dmc/cheetah-run")
    states = {(FIVE[0].name, tasks[1], 0): "diverged"}
    options = Options(tasks=tasks, designs=FIVE[:2], seeds=3, episodes=8, states=states)
    table = score_table(load([write_study(tmp_path, options=options)]))
    assert list(table.header) == ["design", "cartpole-swingup", "cheetah-run"]
    assert "(" not in table.rows[0][1]
    assert table.rows[0][2].endswith("t (2/3, 1 diverged)")
    assert "3 seeds unless stated" in table.caption
    assert "1 run diverged" in table.caption


def test_few_tasks_are_counted_beside_the_pooled_correlation(tmp_path):
    tasks = ("dmc/cartpole-swingup", "dmc/cheetah-run")
    options = Options(tasks=tasks, episodes=8, forecasts=False)
    table = correlation_table(load([write_study(tmp_path, options=options)]))
    assert {row[3] for row in table.rows} == {"2 tasks, pooled", "cartpole-swingup", "cheetah-run"}
    assert "the sample being tasks and designs" in table.caption
    assert "An interval over 2 tasks is crude." in table.caption


def test_one_task_says_nothing_of_tasks(results):
    assert "task" not in correlation_table(results).caption
