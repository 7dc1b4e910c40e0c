"""What is wrong with a study, with the place of each problem: collected, then raised all at once."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import UserError


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place: the file (or ``command line``), and line and column from 1 (0 where there are none)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong."""

    mark: Mark
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.mark}: {self.path}" if self.path else str(self.mark)
        return f"{where}: {self.message}"


class StudyError(UserError):
    """A study that cannot be planned. The message has one line per problem, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Problems:
    """Collects problems while a file is read."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, mark: Mark, path: str, message: str) -> None:
        """Notes a problem and goes on."""
        self.found.append(Problem(mark, path, " ".join(message.split())))

    def raise_any(self) -> None:
        """Raises StudyError if a problem was found."""
        if self.found:
            raise StudyError(self.found)
