"""What a rule is, and what it finds."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Level(IntEnum):
    """How much it matters; an error makes ``check`` exit with 1."""

    ERROR = 0
    WARNING = 1
    INFO = 2

    def __str__(self) -> str:
        """As it is written in every form but SARIF."""
        return self.name.lower()


class Rule(NamedTuple):
    """One item of the checklist.

    Attributes:
        id: stable; what ``ignore=`` and ``--ignore`` name.
        level: unless a finding says otherwise.
        title: what should hold, as the README's table has it.
        why: what goes wrong otherwise.
        mend: what to write instead.
    """

    id: str
    level: Level
    title: str
    why: str
    mend: str


class Finding(NamedTuple):
    """A place where a rule does not hold.

    Attributes:
        path: of the file, relative to the directory that is checked.
        line: from 1.
        what: one sentence of this very place.
        mend: this place's, where the rule's own says too little.
        end_line: of the instruction, for comments that ignore it; 0 for the line alone.
    """

    rule: Rule
    path: str
    line: int
    what: str
    level: Level
    mend: str
    end_line: int = 0

    @property
    def order(self) -> tuple[str, int, str, str]:
        """By place, so that two runs say the same in the same order."""
        return self.path, self.line, self.rule.id, self.what


def found(
    rule: Rule,
    path: str,
    line: int,
    what: str,
    *,
    level: Level | None = None,
    mend: str | None = None,
    end_line: int = 0,
) -> Finding:
    """A finding with the rule's own level and mend, unless others are given."""
    return Finding(
        rule,
        path,
        line,
        what,
        rule.level if level is None else level,
        rule.mend if mend is None else mend,
        end_line,
    )
