"""Planners of one's own for world-models-study."""
