"""Which pyinit is meant: from /proc/net/unix, --control and PYINIT_CONTROL."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyinit.ctl import find
from pyinit.ctl.problem import USAGE, Nobody, Problem

HEAD = "Num       RefCount Protocol Flags    Type St Inode Path\n"


def listing(*names: str, flags: str = "00010000") -> str:
    return HEAD + "".join(
        f"0000000086b91a7f: 00000002 00000000 {flags} 0001 01 42994 {name}\n" for name in names
    )


def test_a_pair_is_a_name_and_its_health_socket() -> None:
    names = listing(
        "@pyinit", "@pyinit.health", "@lonely", "@other.health", "/run/p.sock", "/run/p.sock.health"
    )
    assert find.pairs(names) == ["@pyinit", "unix:/run/p.sock"]


def test_what_is_connected_and_not_listening_is_none() -> None:
    """A client's end has no name, but an accepted one has the listener's."""
    assert find.pairs(listing("@pyinit", "@pyinit.health", flags="00000000")) == []


def test_a_socket_without_a_name_is_passed_over() -> None:
    assert find.pairs(listing("") + listing("@a", "@a.health")) == ["@a"]


def test_a_name_may_hold_spaces() -> None:
    assert find.pairs(listing("@my app", "@my app.health")) == ["@my app"]


def test_suffixes_are_in_the_order_of_their_numbers() -> None:
    names = [f"@pyinit-{number}" for number in range(12, 1, -1)]
    found = find.pairs(listing(*names, *(f"{name}.health" for name in names)))
    assert found == list(reversed(names))


def unread() -> str:
    raise AssertionError("the address was given")


def test_a_given_address_is_the_one() -> None:
    assert find.candidates("@x", "off", unread) == ["@x"]


@pytest.mark.parametrize("variable", ["unix:/run/p", "/run/p", "127.0.0.1:9000", "9000"])
def test_a_variable_that_is_no_name_is_the_one(variable: str) -> None:
    assert find.candidates(None, variable, unread) == [variable]


def test_a_name_in_the_variable_may_have_got_a_suffix() -> None:
    names = ["@app", "@app-2", "@app-x", "@app-", "@other"]
    found = find.candidates(None, "@app", lambda: listing(*names, *(f"{name}.health" for name in names)))
    assert found == ["@app", "@app-2"]


def test_off_in_the_variable_is_said() -> None:
    with pytest.raises(Nobody, match="PYINIT_CONTROL=off"):
        find.candidates(None, "off", unread)


@pytest.mark.parametrize("variable", [None, ""])
def test_without_an_address_every_pair_counts(variable: str | None, tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "p", tmp_path / "none"
    here.touch()
    names = [f"{name}{end}" for name in ("@b", "@a", here, elsewhere) for end in ("", ".health")]
    found = find.candidates(None, variable, lambda: listing(*names))
    assert found == ["@a", "@b", f"unix:{here}"], (
        "a path that is not in our file system is another container's"
    )


def test_none_is_an_error_that_says_why_there_may_be_none() -> None:
    with pytest.raises(Nobody, match=r"^no pyinit here: .*host networking.*HOST:PORT"):
        find.candidates(None, None, lambda: HEAD)


def test_without_proc_the_usual_name_is_tried() -> None:
    assert find.candidates(None, None, lambda: None) == ["@pyinit"]
    assert find.candidates(None, "@x", lambda: None) == ["@x"]


@pytest.mark.parametrize(
    ("text", "name", "host", "port", "health"),
    [
        ("@pyinit", "\0pyinit", "", 0, "\0pyinit.health"),
        ("unix:/run/p", "/run/p", "", 0, "/run/p.health"),
        ("/run/p", "/run/p", "", 0, "/run/p.health"),
        ("10.0.0.7:9000", None, "10.0.0.7", 9000, None),
        ("[fd00::7]:9000", None, "fd00::7", 9000, None),
        ("9000", None, "127.0.0.1", 9000, None),
    ],
)
def test_an_address_is_read_as_pyinit_reads_it(
    text: str, name: str | None, host: str, port: int, health: str | None
) -> None:
    place = find.Place(text)
    assert (place.name, place.host, place.port) == (name, host, port)
    assert (place.health().name, place.health().text) == (health, text)


@pytest.mark.parametrize("text", ["here", "10.0.0.7:99999", "fd00::7:9000", "http://x:1/"])
def test_another_address_is_a_usage_error_that_names_what_is_accepted(text: str) -> None:
    with pytest.raises(Problem, match="not @NAME, unix:/path or HOST:PORT") as caught:
        find.Place(text)
    assert caught.value.exit_code == USAGE
