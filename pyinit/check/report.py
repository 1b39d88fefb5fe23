"""Findings as text for people, as JSON, and as SARIF 2.1.0 for code hosts."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from pyinit import __version__
from pyinit.check.finding import Finding, Level
from pyinit.check.rules import RULES

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("text", "json", "sarif")
_VERSION = 1
_SARIF_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}
_COLOURS = {Level.ERROR: "31", Level.WARNING: "33", Level.INFO: "36"}


class Report(NamedTuple):
    """What a check came to.

    Attributes:
        root: the directory, as it was given.
        paths: of the files that were checked, relative to it.
        not_judged: of those that were only read, with the reason.
        findings: in order.
        targets: every stage that ``--target`` can name.
    """

    root: Path
    paths: list[str]
    not_judged: list[tuple[str, str]]
    findings: list[Finding]
    targets: frozenset[str]

    @property
    def has_errors(self) -> bool:
        """Whether the exit code is 1."""
        return any(finding.level is Level.ERROR for finding in self.findings)


def text(report: Report, *, is_coloured: bool) -> str:
    """For people, and for what reads compilers' output: PATH:LINE: LEVEL: TEXT [RULE]."""
    lines = []
    for one in report.findings:
        level = f"\x1b[{_COLOURS[one.level]}m{one.level}\x1b[0m" if is_coloured else str(one.level)
        lines += [
            f"{_printable(_shown(report, one.path))}:{one.line}: {level}: {_printable(one.what)} [{one.rule.id}]",
            f"    {one.rule.why}",
            f"    -> {_printable(one.mend)}",
        ]
    lines += [
        f"{_printable(_shown(report, path))}: not judged: {reason}" for path, reason in report.not_judged
    ]
    counts = Counter(one.level for one in report.findings)
    named = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "remark"}
    told = ", ".join(_plural(counts[level], name) for level, name in named.items() if counts[level])
    lines.append(f"{_plural(len(report.paths), 'file')} checked: {told or 'nothing found'}")
    return "\n".join(lines) + "\n"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _printable(value: str) -> str:
    """A file's text could steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in value)


def _shown(report: Report, path: str) -> str:
    return os.path.normpath(report.root / path)


def as_json(report: Report) -> str:
    """One object, its fields in a fixed order."""
    content = {
        "check_version": _VERSION,
        "pyinit_version": __version__,
        "files": report.paths,
        "not_judged": [{"file": path, "reason": reason} for path, reason in report.not_judged],
        "findings": [
            {
                "rule": one.rule.id,
                "level": str(one.level),
                "file": one.path,
                "line": one.line,
                "what": one.what,
                "why": one.rule.why,
                "mend": one.mend,
            }
            for one in report.findings
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=True) + "\n"


def sarif(report: Report) -> str:
    """SARIF 2.1.0: one run, with every rule, and paths as from the working directory where they are below it."""
    order = list(RULES)
    content = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "pyinitctl check",
                        "semanticVersion": __version__,
                        "rules": [
                            {
                                "id": rule.id,
                                "shortDescription": {"text": _sentence(rule.title)},
                                "fullDescription": {"text": rule.why},
                                "help": {"text": rule.mend},
                                "defaultConfiguration": {"level": _SARIF_LEVELS[rule.level]},
                            }
                            for rule in RULES.values()
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [
                    {
                        "ruleId": one.rule.id,
                        "ruleIndex": order.index(one.rule.id),
                        "level": _SARIF_LEVELS[one.level],
                        "message": {"text": f"{one.what} {one.rule.why} {one.mend}"},
                        "locations": [
                            {
                                "physicalLocation": {
                                    "artifactLocation": {"uri": _uri(report, one.path)},
                                    "region": {"startLine": one.line},
                                }
                            }
                        ],
                    }
                    for one in report.findings
                ],
            }
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=True) + "\n"


def _sentence(title: str) -> str:
    return title[0].upper() + title[1:] + "."


def _uri(report: Report, path: str) -> str:
    whole = os.path.normpath(report.root.absolute() / path)
    relative = os.path.relpath(whole)
    if relative.startswith(".." + os.sep):
        return "file://" + quote(os.fsencode(whole))
    return quote(os.fsencode(relative))
