"""All rows, by topic."""

from tests.corpus import (
    chunks,
    connection,
    fields,
    host,
    lengths,
    methods,
    request_line,
    response_bodies,
    response_heads,
    response_order,
    targets,
    upgrades,
)
from tests.corpus.case import Case

TOPICS: dict[str, list[Case]] = {
    topic: rows
    for module in (
        request_line,
        methods,
        targets,
        host,
        fields,
        lengths,
        chunks,
        connection,
        upgrades,
        response_heads,
        response_bodies,
        response_order,
    )
    for topic, rows in module.CASES.items()
}
