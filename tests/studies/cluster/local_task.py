"""What the local pool's tests start in place of `studies.cluster.task`: waits for a file `go` or `go-<index>`.

Every task appends its index, its GPUs, its pid and its key to `began`; SIGTERM ends it with 75.
"""

import os
import signal
import sys
import time
from pathlib import Path

HERE = str(Path(__file__).parent)
CALL = "local_task:Task"


def main(folder, array, index):
    """Ends with the status that `go-<index>` (or `go`) holds, 0 if it is empty."""
    folder = Path(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    with (folder / "began").open("a") as file:
        file.write(
            f"{index} {os.environ.get('CUDA_VISIBLE_DEVICES', '-')} {os.getpid()} {os.environ['WM_JOB']}\n"
        )
    print(f"task {index} of array {array}", flush=True)
    while True:
        for name in ("go", f"go-{index}"):
            if (folder / name).exists():
                sys.exit(int((folder / name).read_text() or 0))
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
