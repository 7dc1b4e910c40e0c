"""claims.json, the table and the numbers hold what was found, and no more."""

import json
import re

import pytest

from analysis.claims.findings import findings
from analysis.claims.spec import CLAIMS
from analysis.claims.table import claims_json, claims_table, numbers, summary
from analysis.tables import latex, markdown, save
from tests.analysis.claims.build import TASKS, configs_of, evidence, planned


@pytest.fixture(scope="module")
def found():
    frame = planned(configs_of(["online"], TASKS[:2], 3))
    report = {"claims": {"H2": {"margin": 0.04, "level": 0.9}}}
    return findings(
        evidence(frame, lambda row: {"value": 0.4 + 0.3 * (row.predict == "images")}, report=report)
    )


def test_the_json_has_every_field_and_no_nan(found):
    content = json.loads(json.dumps(claims_json(found), allow_nan=False))
    assert content["schema"] == 1
    claims = {claim["id"]: claim for claim in content["claims"]}
    assert list(claims) == list(CLAIMS)
    first = claims["H1"]
    assert first["verdict"] == "supported"
    assert first["primary"][0]["estimate"]["n"] == 6
    assert first["primary"][0]["of"] == "seeds"
    assert first["primary"][0]["estimate"]["value"] == found[0].primary[0].estimate.value
    assert {"statement", "rule", "why", "missing", "level", "declared", "changed"} <= first.keys()
    assert claims["H3"]["primary"] == []
    assert claims["H3"]["verdict"] == "not testable"
    detectable = next(one for one in claims["H4"]["secondary"] if one["name"] == "image.detectable")
    assert detectable["estimate"]["low"] is None


def test_declared_thresholds_are_used_and_others_marked_as_defaults(found):
    second = found[1]
    assert second.declared
    assert second.level == 0.9
    assert "80 % interval lies within ±0.04" in second.rule
    assert second.primary[0].estimate.level == 0.9
    assert second.primary[1].estimate.level == pytest.approx(0.8)
    caption = claims_table(found).caption
    assert "Thresholds that no study declares are defaults: H1, H3, H4" in caption
    assert "H2" not in caption.partition("are defaults: ")[2]


def test_the_table_has_a_row_for_each_number_that_decides(found):
    table = claims_table(found)
    assert table.name == "claims"
    named = [row[0].split()[0] for row in table.rows if row[0]]
    assert named == list(CLAIMS)
    assert len(table.rows) == sum(max(1, len(each.primary)) for each in found)
    first = table.rows[0]
    assert first[2] == "3 seeds, 2 tasks"
    assert (
        first[3]
        == f"{numbers(found)['H1.estimate']} [{numbers(found)['H1.low']}, {numbers(found)['H1.high']}]"
    )
    assert first[4] == "supported"
    assert all(row[3] == "—" for row in table.rows if row[4] == "not testable")
    assert set(table.data["claim"]) == set(CLAIMS)
    of_first = table.data[table.data["claim"] == "H1"]
    assert len(of_first) == len(found[0].primary) + len(found[0].secondary)


def test_the_caption_states_rules_marks_and_what_is_not_testable(found):
    caption = claims_table(found).caption
    for each in found:
        assert each.rule[1:] in caption
    assert "H3 is not testable: the plan lacks an online design with at least 4 values" in caption
    assert "H1, H2, H10: t: of fewer than 5 seeds." in caption


def test_numbers_have_a_key_for_every_claim_and_every_further_number(found):
    keys = numbers(found)
    for claim in CLAIMS:
        assert {
            f"{claim}.{name}" for name in ("verdict", "estimate", "low", "high", "n", "runs")
        } <= keys.keys()
    assert keys["H1.verdict"] == "supported"
    assert [keys[f"H1.{name}"] for name in ("n", "seeds", "tasks")] == ["6", "3", "2"]
    assert int(keys["H1.designs"]) * 6 == int(keys["H1.runs"])
    assert keys["H1.estimate"].startswith("0.")
    assert keys["H3.estimate"] == "undefined"
    assert keys["H1.controlled.n"] == "6"
    assert keys["H2.inner.low"] > keys["H2.low"] or keys["H2.inner.low"].startswith("−")


def test_it_is_written_as_other_tables_are(found, tmp_path):
    table = claims_table(found)
    assert [path.name for path in save(table, tmp_path)] == ["claims.csv", "claims.md", "claims.tex"]
    assert "Images help online" in markdown(table)
    assert r"\toprule" in latex(table)


def test_verdicts_on_a_terminal_say_once_what_they_are_of(found):
    lines = summary(found).splitlines()
    assert lines[0] == "Verdicts, of these designs and tasks:"
    assert [line.split()[0] for line in lines if line.startswith("H")] == list(CLAIMS)


def test_the_table_fits_a_page_and_names_its_packages(found):
    lines = latex(claims_table(found)).splitlines()
    assert lines[0] == r"% needs \usepackage{booktabs,array}"
    assert max(len(line) for line in lines if line.startswith("%")) <= 98
    shares = [float(share) for share in re.findall(r"p\{([\d.]+)\\linewidth\}", "\n".join(lines))]
    assert len(shares) == 4
    assert 0.5 < sum(shares) < 0.9  # the rest is the verdict, and what is between columns


def test_a_final_score_that_would_decide_otherwise_is_told(found):
    frame = planned(configs_of(["online"], TASKS[:2], 3))
    made = evidence(frame, lambda row: {"value": 0.4 + 0.3 * (row.predict == "images")})
    made.runs["final"] = 1 - made.runs["value"]
    first = findings(made)[0]
    assert first.verdict == "supported"
    assert "By the final normalised score it would be contradicted." in first.why
    assert "it would be" not in found[0].why
