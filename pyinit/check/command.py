"""``pyinitctl check`` from its arguments to what is printed; what cannot be meant is refused."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from pyinit.check import main, report
from pyinit.check.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence


class UsageError(Exception):
    """An argument that cannot be meant; the text is the whole line."""


def run(
    directory: str, *, form: str, ignored_ids: Sequence[str], target: str, is_coloured: bool
) -> tuple[str, bool]:
    """Check a directory.

    Args:
        directory: the project's.
        form: one of report.FORMATS.
        ignored_ids: rules that are left out.
        target: the stage that is shipped; empty for the last.
        is_coloured: of the text.

    Returns:
        What is to be printed, and whether there are errors.

    Raises:
        UsageError: no such directory, form, rule or stage, or nothing to check: that would pass for a clean one.
    """
    if form not in report.FORMATS:
        raise UsageError(f"--format {form}: not {', '.join(report.FORMATS[:-1])} or {report.FORMATS[-1]}")
    for one in ignored_ids:
        if one not in RULES:
            near = difflib.get_close_matches(one, RULES, n=1)
            raise UsageError(f"--ignore {one}: no such rule{f', did you mean {near[0]}?' if near else ''}")
    root = Path(directory)
    if not root.is_dir():
        raise UsageError(f"{directory}: no such directory")
    done = main.check(root, target=target, ignored_ids=ignored_ids)
    if not done.paths:
        raise UsageError(f"{directory}: no Dockerfile, compose file, task definition or package.json in it")
    if target and target not in done.targets:
        raise UsageError(f"--target {target}: no Dockerfile here has such a stage")
    if form == "text":
        text = report.text(done, is_coloured=is_coloured)
    else:
        text = report.as_json(done) if form == "json" else report.sarif(done)
    return text, done.has_errors
