"""The README's metric table, made from the metrics themselves: ``python -m tests.support.metric_table``."""

from pyinit.admin.metrics import METRICS


def metric_table() -> str:
    """Markdown, one line a metric."""
    rows = ["| metric | type | |", "|---|---|---|"]
    for metric in METRICS:
        name = metric.name + (f"{{{', '.join(metric.labels)}}}" if metric.labels else "")
        rows.append(f"| `{name}` | {metric.type.value} | {metric.text} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(metric_table(), end="")  # noqa: T201  a generator's output
