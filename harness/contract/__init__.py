"""What every world model promises beyond its types, as checks that say in one sentence how a promise is broken.

`wm check-model` runs them on a model of your own, the project's tests on every built-in design. In a test of yours::

    from harness.contract import check_model

    def test_flow_keeps_its_promises():
        check_model("my_models.flow:Flow", predict="images", model={"options": {"units": 32}})
"""

from harness.contract.checks import (
    CHECKS,
    Check,
    Result,
    check_model,
    check_subject,
    require_basics,
    subject_of,
)
from harness.contract.subject import Broken, Subject

__all__ = [
    "CHECKS",
    "Broken",
    "Check",
    "Result",
    "Subject",
    "check_model",
    "check_subject",
    "require_basics",
    "subject_of",
]
