"""Judges what came of a row of the corpus by the outcomes that it allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from tests.corpus.case import (
    REFUSALS,
    Answered,
    Case,
    Closed,
    Cut,
    Followed,
    Forwarded,
    Http09,
    Http2,
    Message,
    Outcome,
    Passed,
    Refused,
    Replaced,
    Switched,
)
from tests.support.recorder import APP_FIELD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.conformance import Observed
    from tests.support.strict_http import Read

_MARK = b"sentinel.example"


def judge(case: Case, observed: Observed, outcomes: Sequence[Outcome]) -> str:
    """Why none of these outcomes is what came; empty where one is."""
    if fault := _broken(case, observed):
        return f"{fault}; {observed}"
    reasons = []
    for outcome in outcomes:
        reason = _mismatch(outcome, observed)
        if not reason:
            return ""
        reasons.append(f"not {type(outcome).__name__}: {reason}")
    return f"{'; '.join(reasons)}; {observed}"


def _broken(case: Case, observed: Observed) -> str:
    """What no outcome allows."""
    for side in observed.sides:
        if side.fault:
            return f"the app was sent what is no message: {side.fault}"
    for request in observed.requests:
        if _MARK in request.raw:
            return "the next request has become a part of this one"
    last = observed.responses[-1] if observed.responses else None
    if (
        last is not None
        and last.status != 101
        and observed.tail
        and observed.partial is None
        and not observed.fault
    ):
        return "bytes behind the response"
    for never in case.never:
        if never in observed.received:
            return f"the client got {never!r}"
    return ""


def _mismatch(outcome: Outcome, observed: Observed) -> str:
    match outcome:
        case Refused():
            reason = _not_refused(outcome, observed)
        case Closed():
            reason = _first(
                (observed.received, "it answered"),
                (observed.requests, "the app got a request"),
                (not outcome.late and observed.has_reached_app, "something reached the app"),
                (not outcome.waits and observed.ending == "open", "it is open"),
            )
        case Http09():
            reason = _first(
                (observed.received != b"ok", "more than a body"),
                (len(observed.requests) != 1, "not one request"),
            )
        case Http2():
            # The first frame is SETTINGS, of type 4 (RFC 9113 section 6.5).
            reason = _first(
                (observed.received[3:4] != b"\x04", "no SETTINGS"),
                (observed.requests, "the app got a request"),
            )
        case Answered():
            reason = _not_answered(outcome, observed)
        case Forwarded():
            reason = _not_forwarded(outcome, observed)
        case Passed():
            reason = _not_passed(outcome, observed)
        case Followed():
            reason = _not_followed(outcome, observed)
        case Replaced():
            own = observed.responses[0] if len(observed.responses) == 1 else None
            reason = _first(
                (own is None, "not one response"),
                (own is not None and own.all(APP_FIELD), "the app's response"),
                (own is not None and own.status not in outcome.statuses, "another status"),
                (len(observed.requests) not in outcome.requests, "another number of requests"),
                (not observed.is_in_order, "the connection is not in order"),
            )
        case Cut():
            reason = _first(
                (observed.responses, "a whole response"),
                (observed.sentinel is not None, "the connection went on"),
                (observed.ending == "open", "the connection is open"),
                (
                    outcome.body is not None
                    and observed.partial is not None
                    and not outcome.body.startswith(observed.partial.body),
                    "more of the body than that",
                ),
                (len(observed.requests) not in outcome.requests, "another number of requests"),
            )
        case Switched():
            first = observed.responses[0] if observed.responses else None
            reason = _first(
                (first is None or first.status != 101, "no 101"),
                (
                    first is not None and b",".join(first.all(b"upgrade")).lower() != outcome.upgrade.lower(),
                    "another protocol",
                ),
                (outcome.received not in (None, observed.tail), f"behind it came {observed.tail!r}"),
                (observed.ending == "open", "it is open"),
            )
        case _:
            assert_never(outcome)
    return reason


def _first(*faults: tuple[object, str]) -> str:
    return next((text for holds, text in faults if holds), "")


def _not_refused(outcome: Refused, observed: Observed) -> str:
    own = observed.responses[0] if len(observed.responses) == 1 else None
    return _first(
        (observed.fault, "no response"),
        (own is None, "not one response"),
        (own is not None and own.all(APP_FIELD), "the app's response"),
        (own is not None and own.status not in outcome.statuses, "another status"),
        (observed.requests, "the app got a request"),
        (not outcome.late and observed.has_reached_app, "something reached the app"),
        (outcome.closes and (observed.sentinels or observed.ending == "open"), "the connection went on"),
        (not outcome.closes and not observed.is_in_order, "the connection is not in order"),
    )


def _not_answered(outcome: Answered, observed: Observed) -> str:
    own = observed.responses[0] if len(observed.responses) == 1 else None
    return _first(
        (own is None, "not one response"),
        (own is not None and own.all(APP_FIELD), "the app's response"),
        (own is not None and own.status not in outcome.statuses, "another status"),
        (own is not None and any(part not in own.raw for part in outcome.has), "a part is missing"),
        (own is not None and any(part in own.raw for part in outcome.lacks), "a part is too much"),
        (observed.requests, "the app got a request"),
        (not observed.is_in_order, "the connection is not in order"),
    )


def _not_forwarded(outcome: Forwarded, observed: Observed) -> str:
    wanted, got = outcome.messages, observed.requests
    answers = observed.responses
    if len(got) != len(wanted):
        return f"{len(got)} requests at the app"
    for want, read in zip(wanted, got, strict=True):
        if fault := _unlike(want, read):
            return fault
    numbers = [answer.all(APP_FIELD) for answer in answers]
    own = numbers[len(wanted) :]
    return _first(
        (observed.fault, "no response"),
        (numbers[: len(wanted)] != [[b"%d" % (turn + 1)] for turn in range(len(wanted))], "other answers"),
        (any(own) or len(own) > bool(outcome.then), "a response too many"),
        (outcome.then and (not own or answers[-1].status not in outcome.then), "no refusal behind it"),
        (outcome.then and observed.ending == "open", "the connection went on"),
        (not outcome.then and any(side.partial for side in observed.sides), "a part of another request"),
        (not observed.is_in_order, "the connection is not in order"),
    )


def _unlike(want: Message, read: Read) -> str:
    method, target = read.start
    for name, values in want.has.items():
        if read.all(name) != list(values):
            return f"{name!r} is {read.all(name)}"
    return _first(
        (method != want.method, f"the method is {method!r}"),
        (target not in want.target, f"the target is {target!r}"),
        (read.body != want.body, f"the body is {read.body[:200]!r}"),
        *((read.all(name), f"{name!r} is there") for name in want.lacks),
    )


def _not_passed(outcome: Passed, observed: Observed) -> str:
    answer = observed.responses[0] if len(observed.responses) == 1 else None
    if answer is None:
        return f"{len(observed.responses)} responses, {observed.fault}"
    for name, value in outcome.has.items():
        if answer.all(name) != [value]:
            return f"{name!r} is {answer.all(name)}"
    return _first(
        (observed.fault, "no response"),
        (answer.status != outcome.status, f"the status is {answer.status}"),
        (answer.body != outcome.body, f"the body is {answer.body[:200]!r}"),
        *((answer.all(name), f"{name!r} is there") for name in outcome.lacks),
        *((not answer.all(name), f"{name!r} is missing") for name in outcome.present),
        (
            outcome.interim is not None and tuple(observed.interim) != outcome.interim,
            f"before it came {observed.interim}",
        ),
        (len(observed.requests) not in outcome.requests, f"{len(observed.requests)} requests at the app"),
        (observed.tail and observed.sentinel is None, "bytes behind it"),
        (not observed.is_in_order, "the connection is not in order"),
    )


def _not_followed(outcome: Followed, observed: Observed) -> str:
    if not observed.responses:
        return "no response"
    first, *others = observed.responses
    second = others[0] if others else None
    return _first(
        (outcome.status not in (None, first.status), f"the status is {first.status}"),
        (outcome.body not in (None, first.body), f"the body is {first.body[:200]!r}"),
        (len(others) > 1, "a response too many"),
        (
            second is not None and second.all(b"x-target") != [b"/2"] and second.status not in REFUSALS,
            "another's answer to the second request",
        ),
        (observed.fault, "no response"),
        (not observed.is_in_order, "the connection is not in order"),
    )
