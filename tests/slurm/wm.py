"""The command line `wm`, with what executes a run replaced by what $WM_TEST_EXECUTE names."""

import os

from studies import worker

worker.EXECUTE = os.environ["WM_TEST_EXECUTE"]  # before anything takes it from there

from studies import cli  # noqa: E402

cli.main()
