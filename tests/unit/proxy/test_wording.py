"""Dates and ids, as the standard library's slower ways to them have it."""

from __future__ import annotations

import email.utils
import uuid

from hypothesis import given
from hypothesis import strategies as st

from pyinit.proxy.wording import http_date, random_id
from tests.support.strategies import law


@law
@given(second=st.integers(0, 2**35))
def test_a_date_is_the_one_of_email(second: int) -> None:
    assert http_date(second).decode() == email.utils.formatdate(second, usegmt=True)


def test_an_id_is_a_random_uuid_in_its_usual_form() -> None:
    ids = {random_id().decode() for _ in range(200)}
    assert len(ids) == 200
    for text in ids:
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)
