"""All rows, by topic."""

from tests.corpus import chunks, connection, fields, host, lengths, request_line, responses
from tests.corpus.case import Case

TOPICS: dict[str, list[Case]] = {
    topic: rows
    for module in (request_line, host, fields, lengths, chunks, connection, responses)
    for topic, rows in module.CASES.items()
}
