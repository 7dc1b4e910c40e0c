"""The command line `wm`, with what executes a run replaced by what $WM_TEST_EXECUTE names."""

import os

from studies import cli, dispatch

dispatch.EXECUTE = os.environ["WM_TEST_EXECUTE"]
cli.main()
