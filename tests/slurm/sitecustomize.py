"""Every virtual node is another host, as on a cluster: a process elsewhere can be asked for through SLURM alone."""

import os
import socket

_NODE = os.environ.get("SLURMD_NODENAME")
if _NODE:
    socket.gethostname = lambda: _NODE
