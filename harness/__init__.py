"""One run of a study: configuration, tasks, episodes, replay, agent, loop, open-loop evaluation,
checkpoint and run directory. Imports `models` and `planners`; never `studies` or `analysis`.
"""
