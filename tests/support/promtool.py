"""promtool, Prometheus' own judge: of an exposition, of queries, of what a query answers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.front import DEADLINE_S, ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

Sample = tuple[str, float]


def refusal() -> str | None:
    """Why there is none; None where there is."""
    return None if shutil.which("promtool") else "need promtool (Debian's prometheus)"


def lint(exposition: bytes) -> str:
    """What it finds wrong with an exposition in the text format; empty for nothing."""
    return _run(["check", "metrics"], exposition)


def answers(series: Mapping[str, str], queries: Mapping[str, list[Sample]], *, at: str) -> str:
    """What it finds wrong with what queries answer; empty for nothing.

    Args:
        series: one -> its values each minute, in promtool's notation.
        queries: each -> the samples expected.
        at: when, as ``10m``.
    """
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": at,
                "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
            }
            for query, samples in queries.items()
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.yml"
        path.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [case]}))
        return _run(["test", "rules", str(path)])


def readme_queries() -> dict[str, str]:
    """The README's queries: question -> PromQL."""
    readme = (ROOT / "README.md").read_text()
    found = {}
    for block in re.findall(r"```promql\n(.*?)```", readme, re.DOTALL):
        for part in block.strip().split("\n\n"):
            question, _, query = part.partition("\n")
            found[question.removeprefix("# ")] = query
    return found


def _run(arguments: list[str], data: bytes = b"") -> str:
    done = subprocess.run(
        ["promtool", *arguments], input=data, capture_output=True, timeout=DEADLINE_S, check=False
    )
    said = (done.stdout + done.stderr).decode()
    # A lint's findings come on stderr with code 3; a test that passes says so as well.
    return said if done.returncode or arguments[0] == "check" else ""
