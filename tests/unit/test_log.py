"""The sink: lines whole or not at all, never a wait, and nothing changed for who shares the descriptor."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from pyinit.log import PIPE_BUF, InitLog, Sink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for fd in (read_end, write_end):
        with contextlib.suppress(OSError):  # closed by the test
            os.close(fd)


@pytest.fixture
def sinks() -> Iterator[list[Sink]]:
    """Sinks whose descriptors are closed again: in a run they live as long as the process."""
    made: list[Sink] = []
    yield made
    for sink in made:
        if sink._own_fd not in (-1, sink._fd):
            os.close(sink._own_fd)


def fill(write_end: int) -> int:
    """Fill a pipe to its last byte, without changing its flags; returns how much it took."""
    own = os.open(f"/proc/self/fd/{write_end}", os.O_WRONLY | os.O_NONBLOCK)
    filled = 0
    for size in (PIPE_BUF, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += os.write(own, bytes(size))
    os.close(own)
    return filled


def read_exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(fd, size - len(data))
    return data


@pytest.mark.parametrize("reopens", [True, False], ids=["of its own", "shared"])
def test_lines_into_a_pipe(
    pipe: tuple[int, int], sinks: list[Sink], monkeypatch: pytest.MonkeyPatch, *, reopens: bool
) -> None:
    """Through a description of our own, and where /proc refuses one through the shared one, after a poll."""
    read_end, write_end = pipe
    flags = fcntl.fcntl(write_end, fcntl.F_GETFL)
    if not reopens:
        monkeypatch.setattr(os, "open", _refused)
    sink = Sink(write_end)
    sinks.append(sink)
    sink.write(b"one\n")
    sink.write(b"two\n")
    assert os.read(read_end, 100) == b"one\ntwo\n"
    assert sink.dropped_count == 0
    assert fcntl.fcntl(write_end, fcntl.F_GETFL) == flags
    monkeypatch.undo()
    filled = fill(write_end)
    sink.write(b"does not fit\n")
    assert sink.dropped_count == 1
    read_exactly(read_end, filled)
    sink.write(b"fits\n")
    assert os.read(read_end, 100) == b"fits\n"
    assert fcntl.fcntl(write_end, fcntl.F_GETFL) == flags


def test_the_rest_of_a_long_line_goes_before_the_next(pipe: tuple[int, int], sinks: list[Sink]) -> None:
    read_end, write_end = pipe
    sink = Sink(write_end)
    sinks.append(sink)
    room = fill(write_end)
    read_exactly(read_end, PIPE_BUF)
    line = b"x" * (3 * PIPE_BUF) + b"\n"
    sink.write(line)  # a part of it: more than PIPE_BUF is not all or nothing (pipe(7))
    sink.write(b"dropped: the rest does not fit\n")
    assert sink.dropped_count == 1
    read_exactly(read_end, room - PIPE_BUF)
    sink.write(b"after it\n")
    assert read_exactly(read_end, len(line)) == line
    assert os.read(read_end, 100) == b"after it\n"


def test_a_pipe_that_nobody_reads_is_no_error(pipe: tuple[int, int], sinks: list[Sink]) -> None:
    read_end, write_end = pipe
    os.close(read_end)
    sink = Sink(write_end)
    sinks.append(sink)
    sink.write(b"a\n")
    sink.write(b"b\n")
    assert sink.dropped_count == 2


def test_a_closed_descriptor_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    os.close(write_end)
    sink = Sink(write_end)
    sink.write(b"a\n")
    assert sink.dropped_count == 1


def test_a_file_is_written_through_the_shared_offset(tmp_path: Path) -> None:
    """A description of our own would begin at 0 and write over what the child has written."""
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    sink = Sink(fd)
    os.write(fd, b"child\n")
    sink.write(b"ours\n")
    os.write(fd, b"child\n")
    os.close(fd)
    assert path.read_bytes() == b"child\nours\nchild\n"


def test_a_terminal(sinks: list[Sink]) -> None:
    controller, terminal = os.openpty()
    flags = fcntl.fcntl(terminal, fcntl.F_GETFL)
    sink = Sink(terminal)
    sinks.append(sink)
    sink.write(b"line\n")
    assert os.read(controller, 100) == b"line\r\n"
    assert fcntl.fcntl(terminal, fcntl.F_GETFL) == flags
    os.close(controller)
    os.close(terminal)


def test_dev_null(sinks: list[Sink]) -> None:
    fd = os.open(os.devnull, os.O_WRONLY)
    sink = Sink(fd)
    sinks.append(sink)
    sink.write(b"line\n")
    assert sink.dropped_count == 0
    os.close(fd)


class Lines:
    """Stands for a sink."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line.decode(errors="surrogateescape"))


@pytest.mark.parametrize(
    ("verbosity", "on_stderr", "on_stdout"),
    [
        (-1, ["FATAL"], []),
        (0, ["FATAL"], []),
        (1, ["FATAL", "WARN "], []),
        (2, ["FATAL", "WARN "], ["INFO "]),
        (3, ["FATAL", "WARN "], ["INFO ", "DEBUG"]),
        (4, ["FATAL", "WARN "], ["INFO ", "DEBUG", "TRACE"]),
    ],
)
def test_tinis_levels_and_streams(verbosity: int, on_stderr: list[str], on_stdout: list[str]) -> None:
    log, err, out = InitLog("pyinit", verbosity), Lines(), Lines()
    log._err, log._out = err, out  # type: ignore[assignment]  # by duck type
    for say in (log.fatal, log.warning, log.info, log.debug, log.trace):
        say("text \udcff")
    pid = os.getpid()
    assert err.lines == [f"[{level} pyinit ({pid})] text \udcff\n" for level in on_stderr]
    assert out.lines == [f"[{level} pyinit ({pid})] text \udcff\n" for level in on_stdout]


def _refused(path: str, flags: int) -> int:
    raise PermissionError(13, path, flags)
