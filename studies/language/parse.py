"""Reads a study file into a `Study`; every problem of the file is reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.registry import suggest
from studies.language.axes import is_mapping, read_axes, read_fields, read_where
from studies.language.designs import read_designs
from studies.language.document import Node, parse_yaml, read_text
from studies.language.fields import sections, table
from studies.language.names import check_study_name
from studies.language.overrides import read_overrides
from studies.language.problems import Problems, StudyError
from studies.language.report import read_report
from studies.language.resources import read_resources
from studies.language.study import MAX_RUNS, Axis, Block, Known, Located, Study

KEYS = {
    "name": "name of the study: a folder under the runs directory",
    "base": "fields that every run shares",
    "designs": "named fragments of fields",
    "factorial": "writes designs out: the cross product of axes, each named by a template",
    "grid": "cross product of any fields; `design` takes names, or globs over the names written here",
    "zip": "blocks of equally long lists that vary together; each block crosses the grid",
    "exclude": "conditions; a cell of the grid that meets one is dropped",
    "include": "small grids of their own, added after the exclusions",
    "reuse": "studies whose finished runs of equal id count as done and are read in place",
    "resources": "what a scheduler must grant: a default, and rules with `where`, merged from the top",
    "report": "what the report fixes before the data: the final window, the rule for diverged runs, and claims",
    "overrides": "fields that win over everything above, as the command line's k=v does",
}
"""The keys of a study file, with what they hold."""


def load_study(path: Path | str, overrides: Sequence[str] = ()) -> Study:
    """Reads a study file.

    Args:
        path: the file.
        overrides: ``field=value`` texts of the command line, which win over everything in the file.

    Raises:
        StudyError: with every problem of the file and the overrides.
    """
    return parse_study(read_text(Path(path)), str(path), overrides)


def parse_study(text: str, source: str, overrides: Sequence[str] = ()) -> Study:
    """Reads the text of a study file; see `load_study`."""
    problems = Problems()
    given = read_overrides(overrides, problems)
    root = parse_yaml(text, source, problems)
    if root is not None and not isinstance(root.value, dict):
        problems.add(root.mark, "", f"a study is a mapping (name: ..., grid: ...), not {root.describe()}")
    if root is None or not isinstance(root.value, dict):
        raise StudyError(problems.found)
    study = _Reader(root, problems).read()
    problems.raise_any()
    study.source, study.text, study.given = source, text, tuple(overrides)
    study.overrides = {**study.overrides, **given}
    return study


def name_in(path: Path) -> str | None:
    """The name that a study file gives its study, whatever else is wrong with it; None if it gives none."""
    try:
        root = parse_yaml(read_text(path), str(path), Problems())
    except StudyError:
        return None
    node = root.value.get("name") if root is not None and isinstance(root.value, dict) else None
    try:
        return check_study_name(node.value) if node is not None and isinstance(node.value, str) else None
    except ValueError:
        return None


class _Reader:
    """Reads the top-level keys, one method each."""

    def __init__(self, root: Node, problems: Problems) -> None:
        assert isinstance(root.value, dict)
        self.root = root
        self.problems = problems
        self.entries = {key: node for key, node in root.value.items() if node.value is not None}
        self.study = Study(name="", mark=root.mark)

    def read(self) -> Study:
        study, problems = self.study, self.problems
        for key, mark in self.root.keys.items():
            if key not in KEYS:
                problems.add(mark, key, f"unknown key{suggest_key(key)}")
        self._name()
        study.base = read_fields(self.entries.get("base"), "base", problems)
        before = len(problems.found)
        study.designs = read_designs(self.entries.get("designs"), self.entries.get("factorial"), problems)
        written = Known(
            tuple(study.designs),
            complete=not any(found.path.startswith("factorial") for found in problems.found[before:]),
        )
        self._blocks(written)
        self._count()
        study.exclude = [read_where(node, path, written, problems) for node, path in self._items("exclude")]
        self._reuse()
        granted = read_resources(self.entries.get("resources"), written, problems)
        study.resources, study.rules = granted.default, granted.rules
        study.report = read_report(self.entries.get("report"), problems)
        study.overrides = read_fields(self.entries.get("overrides"), "overrides", problems)
        return study

    def _name(self) -> None:
        node = self.entries.get("name")
        if node is None:
            if "name" not in self.root.keys or self._is_null("name"):
                self.problems.add(
                    self.root.mark, "name", "missing: a study needs a name, its folder under RUNS"
                )
        elif not isinstance(node.value, str):
            self.problems.add(node.mark, "name", f"must be a text, not {node.describe()}")
        else:
            try:
                self.study.name = check_study_name(node.value)
            except ValueError as error:
                self.problems.add(node.mark, "name", str(error))

    def _is_null(self, key: str) -> bool:
        assert isinstance(self.root.value, dict)
        return key in self.root.value and self.root.value[key].value is None

    def _items(self, key: str) -> list[tuple[Node, str]]:
        """The items of a list, or the one item that stands for a list of one."""
        node = self.entries.get(key)
        if node is None:
            return []
        if isinstance(node.value, list):
            return [(item, f"{key}[{index}]") for index, item in enumerate(node.value)]
        return [(node, key)]

    def _blocks(self, written: Known) -> None:
        grid = self.entries.get("grid")
        groups: list[list[Axis]] = []
        if grid is not None and is_mapping(grid, "grid", self.problems):
            groups = [[axis] for axis in read_axes(grid, "grid", written, self.problems)]
        zipped = [self._zip(node, path, written) for node, path in self._items("zip")]
        groups.extend(group for group in zipped if group)
        self._once(groups)
        include = self._items("include")
        if groups:
            mark = grid.mark if grid is not None else groups[0][0].mark
            self.study.blocks.append(Block(groups, mark, "grid", excludable=True))
        elif self._is_null("grid") or (grid is not None and not grid.value):
            self.problems.add(self.root.keys["grid"], "grid", "empty: it has no runs")
        elif grid is None and not include and "grid" not in self.root.keys:
            self.problems.add(self.root.mark, "grid", "missing: a study needs a grid (or an include)")
        for node, path in include:
            if is_mapping(node, path, self.problems):
                axes = read_axes(node, path, written, self.problems)
                if axes:
                    self.study.blocks.append(Block([[axis] for axis in axes], node.mark, path))
                elif not node.value:
                    self.problems.add(node.mark, path, "empty: it has no runs")

    def _zip(self, node: Node, path: str, written: Known) -> list[Axis]:
        if not is_mapping(node, path, self.problems):
            return []
        before = len(self.problems.found)
        axes = read_axes(node, path, written, self.problems)
        if not node.value:
            self.problems.add(node.mark, path, "empty: it has no runs")
        whole = len(self.problems.found) == before
        longest = max((axis.count for axis in axes), default=0)
        for axis in axes:
            if axis.count != longest and whole:
                message = f"{axis.count} values, but {longest} elsewhere in this block: they vary together"
                self.problems.add(axis.mark, axis.path, message)
        return axes

    def _once(self, groups: list[list[Axis]]) -> None:
        """A field varies in one place."""
        seen: dict[str, Axis] = {}
        for axis in (axis for group in groups for axis in group):
            first = seen.setdefault(axis.name, axis)
            if first is not axis:
                message = f"{axis.name} varies already in {first.path} (line {first.mark.line})"
                self.problems.add(axis.mark, axis.path, message)

    def _count(self) -> None:
        """Refuses a study that is too large, before anything is written out."""
        if self.study.count > MAX_RUNS:
            largest = max(self.study.blocks, key=lambda block: block.count)
            sizes = " x ".join(f"{group[0].name} {show_count(group[0].count)}" for group in largest.groups)
            message = f"{show_count(self.study.count)} runs ({sizes}); a study holds at most {MAX_RUNS:,}"
            self.problems.add(largest.mark, largest.path, message)

    def _reuse(self) -> None:
        for node, path in self._items("reuse"):
            try:
                if not isinstance(node.value, str):
                    raise ValueError(f"must be the name of a study, not {node.describe()}")  # noqa: TRY004, TRY301
                self.study.reuse.append(Located(check_study_name(node.value), node.mark, path))
            except ValueError as error:
                self.problems.add(node.mark, path, str(error))


def suggest_key(key: str) -> str:
    """What may have been meant by an unknown key at the top."""
    if key in sections() or key in table():
        return f" (a field of a run: write it under base, as {key}, or in the grid)"
    return suggest(key, KEYS) or f"; there are {', '.join(KEYS)}"


def show_count(number: int) -> str:
    """A count that may be beyond all bounds."""
    return f"{number:,}" if number < 10**15 else f"about 10^{int(number.bit_length() * 0.30103)}"
