"""The study language, the plan, dispatch, status and the command line `wm`; the study files
themselves. The top layer: imports `harness` and `analysis`.
"""
