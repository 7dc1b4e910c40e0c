"""The command line `wm`, with what executes a run replaced by what $WM_TEST_EXECUTE names, and less patience."""

import os

from studies import worker

worker.EXECUTE = os.environ["WM_TEST_EXECUTE"]  # before anything takes it from there

from studies import cli  # noqa: E402
from studies.cluster import truth  # noqa: E402

truth.UNHEARD_SECONDS = 15.0  # for a task that neither the queue nor the accounting knows

cli.main()
