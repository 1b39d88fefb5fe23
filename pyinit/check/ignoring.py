"""``# pyinit-check: ignore=RULE``: on a finding's line, in its instruction, or in the comments right above it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyinit.check import rules
from pyinit.check.finding import Finding, found

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMENT = re.compile(r"#\s*pyinit-check:\s*ignore=(?P<ids>[A-Za-z0-9,_-]+)")


def ignored(lines: list[str], finding: Finding) -> bool:
    """Whether a comment of the file is about a finding."""
    first = finding.line - 1
    last = max(finding.end_line, finding.line)
    above = first - 1
    while 0 <= above < len(lines) and lines[above].lstrip().startswith("#"):
        above -= 1
    return any(finding.rule.id in _named(line) for line in lines[above + 1 : last])


def unknown(path: str, lines: list[str]) -> Iterator[Finding]:
    """Comments that name no rule."""
    for number, line in enumerate(lines, 1):
        for name in sorted(_named(line) - rules.RULES.keys()):
            yield found(rules.UNKNOWN_IGNORE, path, number, f"There is no rule {name}.")


def _named(line: str) -> set[str]:
    return {name for match in _COMMENT.finditer(line) for name in match["ids"].split(",") if name}
