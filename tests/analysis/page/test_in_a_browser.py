"""The page of a report as a person meets it: in a real browser, on a laptop and a phone, light and dark."""

import pytest

from analysis.report import build_report
from tests.analysis.synthetic import FIVE, Options, write_study
from tests.browser import chromium

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on the PATH")
TASKS = ("dmc/cartpole-swingup", "dmc/cheetah-run")
CHOOSE = """(([task, design]) => {
  for (const [id, value] of [["task", task], ["design", design]]) {
    const select = document.getElementById(`choose-${id}`);
    select.value = value;
    select.dispatchEvent(new Event("change"));
  }
})"""


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    states = {(FIVE[0].name, TASKS[0], 0): "failed", (FIVE[1].name, TASKS[0], 1): "diverged"}
    options = Options(tasks=TASKS, designs=FIVE[:3], seeds=3, episodes=12, every=2, states=states)
    return build_report([write_study(tmp_path_factory.mktemp("runs"), options=options)]).index


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with chromium.page(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("width", "dark", "scripts"), [(1280, False, True), (390, True, True), (390, False, False)]
)
def test_it_is_quiet_fits_and_asks_for_nothing(index, page, width, dark, scripts):
    page.open(index, width=width, dark=dark, scripts=scripts)
    assert page.problems == []
    assert {url.partition(":")[0] for url in page.requests} <= {"file", "data"}
    assert [url for url in page.requests if url.startswith("file")] == [index.as_uri()]
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_dark_is_dark(index, page):
    page.open(index, dark=True)
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    page.open(index)
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_scripts_everything_is_there_and_nothing_offers_a_choice(index, page):
    page.open(index)
    rows = page.run("document.querySelectorAll('tbody tr').length")
    page.open(index, scripts=False)
    assert page.run("document.querySelectorAll('tbody tr').length") == rows
    assert page.run("document.querySelectorAll('[data-task][hidden], [data-design][hidden]').length") == 0
    assert not page.run("document.querySelector('.choose').checkVisibility()")


def test_a_task_and_a_design_are_chosen(index, page):
    page.open(index)
    assert page.run("document.querySelector('.choose').checkVisibility()")
    assert not page.run("document.getElementById('explore').checkVisibility()")
    page.run(f"{CHOOSE}(['{TASKS[1]}', '{FIVE[2].name}'])")
    told = page.run("document.getElementById('explore').innerText")
    assert f"{FIVE[2].name} on cheetah-run" in told
    assert "3 of 3" in told
    assert page.run("document.querySelectorAll('#explore polyline').length") == 3
    left = page.run("[...document.querySelectorAll('#table-scores tbody tr')].filter(r => !r.hidden).length")
    assert left == 1
    page.run(f"{CHOOSE}(['', ''])")
    assert page.run("document.querySelectorAll('[data-task][hidden], [data-design][hidden]').length") == 0


def test_verdicts_come_first_and_open(index, page):
    page.open(index)
    assert page.run("document.querySelector('h2').innerText") == "Verdicts"
    assert page.run("document.querySelectorAll('details.claim').length") == 11
    assert not page.run("document.querySelector('#H1 .body').checkVisibility()")
    page.run("document.querySelector('#H1 summary').click()")
    assert page.run("document.querySelector('#H1 .body').checkVisibility()")
    words = page.run("[...document.querySelectorAll('.claim .verdict')].map(each => each.innerText)")
    assert set(words) <= {"supported", "contradicted", "inconclusive", "not testable"}


def test_failures_are_told(index, page):
    page.open(index)
    told = page.run("document.getElementById('table-failures').innerText")
    assert "No space left on device" in told
    assert "diverged" in told


def test_links_lead_somewhere(index, page):
    page.open(index)
    targets = page.run("[...document.querySelectorAll('a')].map(each => each.getAttribute('href'))")
    inner = [target[1:] for target in targets if target.startswith("#")]
    assert page.run(f"{inner}.every(name => document.getElementById(name))")
    assert all((index.parent / target).is_file() for target in targets if not target.startswith("#"))
