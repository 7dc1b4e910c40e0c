"""Records of a run read from the end of their file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import rundir
from harness.rundir import RunDir


@given(
    records=st.lists(st.tuples(st.sampled_from(["train", "cost"]), st.text(max_size=30)), max_size=12),
    unfinished=st.sampled_from(["", '{"kind": "co', '{"kind": "cost", "text": "new"}']),
    block=st.integers(1, 80),
)
def test_the_last_record_of_a_kind_is_the_last_that_reading_forwards_finds(
    tmp_path_factory, records, unfinished, block
):
    run = RunDir(tmp_path_factory.mktemp("run"))
    lines = [json.dumps({"kind": kind, "text": text}, ensure_ascii=False) + "\n" for kind, text in records]
    run.metrics.write_text("".join(lines) + unfinished)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rundir, "_BLOCK_BYTES", block)
        for kind in ("train", "cost", "episode"):
            forwards = list(run.read_metrics({kind}))
            assert run.last_metrics(kind) == (forwards[-1] if forwards else None)


def test_no_file_has_no_record(tmp_path):
    assert RunDir(tmp_path).last_metrics("cost") is None
