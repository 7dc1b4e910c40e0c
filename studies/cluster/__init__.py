"""Runs that are dispatched and left alone: submission, the queue, what became of each run, and what happens then.

`records` is what is written under ``RUNS/<study>/dispatch/``; `types` is what a cluster can be asked. A `Cluster` is
SLURM through submitit (`slurm`), or a bounded pool on this machine that outlives the terminal (`local`). A job runs
`task.ArrayTask`. The state of a run is one pure function of its own records, the queue and the accounting (`truth`).
"""
