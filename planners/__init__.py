"""Planners that maximise a score function, objectives and exploration. They see tensors and scores,
never a model or a task. Imports nothing of this project.
"""
