"""The statistics of a study: pure functions of arrays and frames, that know nothing of runs or files."""
