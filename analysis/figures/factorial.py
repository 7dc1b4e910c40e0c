"""Main effects and interactions of the factorial: a forest of both estimators, on the score and on the errors."""

from __future__ import annotations

from analysis.material import Material
from analysis.style import Drawn


def draw(material: Material) -> list[Drawn]:
    """The figure `factorial`: a panel a response; none without a factorial."""
    raise NotImplementedError
