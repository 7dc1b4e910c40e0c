"""The study language: a YAML file with positions, its model, and its expansion to run configurations.

    text --document--> nodes with positions --parse--> Study --expand--> cells (RunConfig) and dropped cells

Whatever is wrong with a file is reported at once, as one `StudyError`.
"""

from studies.language.expand import Cell, Dropped, Expansion, expand
from studies.language.parse import load_study, parse_study
from studies.language.problems import Problem, StudyError
from studies.language.single import config_of_model, load_config
from studies.language.study import Study

__all__ = [
    "Cell",
    "Dropped",
    "Expansion",
    "Problem",
    "Study",
    "StudyError",
    "config_of_model",
    "expand",
    "load_config",
    "load_study",
    "parse_study",
]
