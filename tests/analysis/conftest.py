"""One finished study and its report, built once for all tests that only read them."""

from pathlib import Path

import pytest

from analysis.load import Results, load
from analysis.report import ReportResult, build_report
from tests.analysis.synthetic import Options, write_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("runs"), options=Options(episodes=20, every=1))


@pytest.fixture(scope="session")
def results(study: Path) -> Results:
    return load([study])


@pytest.fixture(scope="session")
def report(study: Path) -> ReportResult:
    return build_report([study])
