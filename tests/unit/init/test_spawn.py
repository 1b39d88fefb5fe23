"""Starting the child, up to the exec: its environment, and where a command is looked for."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from pyinit.errors import SpawnError
from pyinit.init import spawn

ENVIRONMENT = [b"PATH=/one::/two", b"A=1", b"PORT=1", b"B=2", b"PORT=2"]


def test_without_a_port_the_environment_stays() -> None:
    assert spawn.child_environment(ENVIRONMENT, b"PORT", None) == ENVIRONMENT
    assert spawn.child_environment(ENVIRONMENT, b"", 80) == ENVIRONMENT


def test_the_port_takes_the_place_of_the_first_and_there_is_one() -> None:
    assert spawn.child_environment(ENVIRONMENT, b"PORT", 80) == [*ENVIRONMENT[:2], b"PORT=80", b"B=2"]
    assert spawn.child_environment(ENVIRONMENT, b"POR", 80) == [*ENVIRONMENT, b"POR=80"]


def test_our_variables_go_and_kubernetes_ones_stay() -> None:
    theirs = [
        b"PYINIT_SERVICE_HOST=h",
        b"PYINIT_SERVICE_PORT_WEB=1",
        b"PYINIT_PORT=tcp://h:1",
        b"PYINIT_PORT_1_TCP=x",
    ]
    ours = [b"PYINIT_LISTEN=80", b"PYINIT_PORT_ENV=P", b"PYINIT_UNKNOWN=", b"PYINIT_SERVICE=x"]
    assert spawn.child_environment([*ours, *theirs], b"PORT", None) == theirs


def test_a_block_keeps_order_and_doubles() -> None:
    block = spawn._Block([b"B=1", b"A=x=y", b"B=2", b"=C:=z", b"E="])
    assert block.keys() == [b"B", b"A", b"B", b"=C:", b"E"]
    assert block.values() == [b"1", b"x=y", b"2", b"z", b""]
    assert (len(block), block[b"A"]) == (5, b"x=y")


@pytest.mark.parametrize("entry", [b"", b"word", b"=", b"=x"])
def test_a_block_cannot_hold_what_is_no_variable(entry: bytes) -> None:
    with pytest.raises(ValueError, match="not found"):
        spawn._Block([entry])


def test_the_environment_is_the_one_of_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the interpreter or a library sets afterwards is not in it."""
    monkeypatch.setenv("SET_LATER", "1")
    assert b"SET_LATER=1" not in spawn.read_environment()


C_UTF8 = b"LC_CTYPE=C.UTF-8"


@pytest.mark.parametrize(
    ("was_c_locale", "before", "after"),
    [
        (1, [], []),
        (1, [C_UTF8], []),
        (1, [b"LANG=C", C_UTF8], [b"LANG=C"]),
        # Asked for and not installed: the C locale all the same.
        (1, [b"LANG=xx_XX", C_UTF8], [b"LANG=xx_XX"]),
        (1, [b"LC_ALL=", C_UTF8], [b"LC_ALL="]),
        # With LC_ALL nothing is added (PEP 538), so this one was given.
        (1, [b"LC_ALL=C", C_UTF8], [b"LC_ALL=C", C_UTF8]),
        (0, [b"LANG=de_DE.UTF-8", C_UTF8], [b"LANG=de_DE.UTF-8", C_UTF8]),
        (0, [C_UTF8], [C_UTF8]),
        (1, [b"LC_CTYPE=de_DE.UTF-8"], [b"LC_CTYPE=de_DE.UTF-8"]),
    ],
)
def test_without_proc_the_interpreters_own_addition_is_taken_out(
    was_c_locale: int, before: list[bytes], after: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_proc(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", no_proc)
    monkeypatch.setattr(os, "environb", dict(entry.split(b"=", 1) for entry in before))
    monkeypatch.setattr(spawn, "sys", SimpleNamespace(flags=SimpleNamespace(utf8_mode=was_c_locale)))
    assert spawn.read_environment() == after


def searched(
    command: bytes, answers: list[int], environment: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> tuple[SpawnError, list[tuple[bytes, list[bytes]]]]:
    """The error, and what exec was asked to run; each answer is an errno, the last one for all that follow."""
    asked: list[tuple[bytes, list[bytes]]] = []

    def execve(path: bytes, words: list[bytes], _: object) -> None:
        number = answers[min(len(asked), len(answers) - 1)]
        asked.append((path, words))
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "execve", execve)
    with pytest.raises(SpawnError) as problem:
        spawn._execvp([command, b"x"], environment)
    return problem.value, asked


@pytest.mark.parametrize(
    ("command", "answers", "paths", "code"),
    [
        (b"c", [errno.ENOENT], [b"/one/c", b"./c", b"/two/c"], 127),
        (b"c", [errno.EACCES, errno.ENOENT], [b"/one/c", b"./c", b"/two/c"], 126),
        (b"c", [errno.ENOTDIR], [b"/one/c", b"./c", b"/two/c"], 1),
        (b"c", [errno.ENOENT, errno.E2BIG], [b"/one/c", b"./c"], 1),
        (b"./c", [errno.ENOENT], [b"./c"], 127),
        (b"/c", [errno.EACCES], [b"/c"], 126),
        (b"", [errno.EPERM], [], 127),
        (b"c", [errno.ENOEXEC, errno.ENOENT], [b"/one/c", b"/bin/sh"], 127),
    ],
)
def test_where_a_command_is_looked_for(
    command: bytes, answers: list[int], paths: list[bytes], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, asked = searched(command, answers, ENVIRONMENT, monkeypatch)
    assert [path for path, _ in asked] == paths
    assert error.exit_code == code


def test_the_shell_is_given_the_file_that_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    _, asked = searched(b"c", [errno.ENOEXEC, errno.EACCES], ENVIRONMENT, monkeypatch)
    assert asked == [(b"/one/c", [b"c", b"x"]), (b"/bin/sh", [b"/bin/sh", b"/one/c", b"x"])]


def test_the_default_path(monkeypatch: pytest.MonkeyPatch) -> None:
    _, asked = searched(b"c", [errno.ENOENT], [], monkeypatch)
    assert [path for path, _ in asked] == [b"/bin/c", b"/usr/bin/c"]


def test_the_error_names_command_and_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    error, _ = searched(b"\xff", [errno.ENOENT], ENVIRONMENT, monkeypatch)
    assert str(error) == "exec \udcff failed: No such file or directory"
    assert (error.reason, error.is_exec) == ("No such file or directory", True)
