"""Short runs that tell what a study costs: `probes` (which), `timing` (what one tells), `running` (where it runs).

What they told is in ``RUNS/<study>/estimate.json`` and is read by `studies.estimating`, which starts nothing.
"""
