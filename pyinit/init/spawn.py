"""Starting the child: fork, group, terminal, masks and dispositions, exec.

The order is the design (tini's): signals are blocked before the fork, so none is lost; the child makes its own
group and takes the terminal while it still ignores SIGTTOU, then gets mask and dispositions back, then execs.
Not ``subprocess``: it closes descriptors, waits for its children, and costs tens of milliseconds to import.
"""

from __future__ import annotations

import _signal
import errno
import os
import sys

from pyinit.errors import SpawnError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyinit.init.signals import Dispositions

# execvp(3): errors of one PATH entry that mean "look in the next".
_LOOK_ON = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT)
# tcsetpgrp(3): no terminal on stdin, a terminal that is gone, no stdin.
_NO_TERMINAL = (errno.ENOTTY, errno.ENXIO, errno.EBADF)
_OWN_PREFIX = b"PYINIT_"
# What Kubernetes makes of a Service named pyinit is the app's to see: PYINIT_PORT_80_TCP, say, but
# PYINIT_PORT_ENV is an option of ours.
_SERVICE_PREFIXES = (
    b"PYINIT_SERVICE_HOST",
    b"PYINIT_SERVICE_PORT",
    b"PYINIT_PORT=",
    *(b"PYINIT_PORT_%d" % digit for digit in range(10)),
)


class Launch:
    """How the child is to be started.

    Args:
        command: program and arguments, at least one.
        environment: the whole block, ``NAME=value`` each, in order.
        mask: signals blocked when pyinit was started.
        dispositions: what to give back.
        terminal: called in the forked copy: take_foreground, leave_terminal, or what a drop-in does.
        own_group: in a process group of its own; else in ours, or in one that ``terminal`` makes.
        directory: where it runs; None for where we do.
        keep: descriptors of ours that it inherits; all others are close-on-exec.
    """

    __slots__ = (
        "command",
        "directory",
        "dispositions",
        "environment",
        "keep",
        "mask",
        "own_group",
        "terminal",
    )

    def __init__(
        self,
        command: list[bytes],
        environment: list[bytes],
        *,
        mask: frozenset[int],
        dispositions: Dispositions,
        terminal: Callable[[], None],
        own_group: bool = True,
        directory: bytes | None = None,
        keep: tuple[int, ...] = (),
    ) -> None:
        self.command = command
        self.environment = environment
        self.mask = mask
        self.dispositions = dispositions
        self.terminal = terminal
        self.own_group = own_group
        self.directory = directory
        self.keep = keep


def spawn(launch: Launch, on_failure: Callable[[SpawnError], int]) -> int:
    """Start the child and return its pid.

    An exec that fails is reported by the forked copy, with its own pid, and shows as its exit code: as with tini
    the parent need not wait for the exec, so its imports run beside it.

    Args:
        launch: what to start, and how.
        on_failure: says why in one line, and gives the code to exit with; called in the forked copy.

    Raises:
        SpawnError: fork itself was refused.
    """
    try:
        pid = os.fork()
    except OSError as problem:
        raise SpawnError("fork", problem.strerror or str(problem)) from problem
    if pid:
        if launch.own_group:
            # The child does the same; whoever comes first, a signal to the group cannot miss it.
            try:
                os.setpgid(pid, pid)
            except OSError as problem:
                if problem.errno not in (errno.EACCES, errno.ESRCH):  # it has exec'd, or ended
                    raise
        return pid
    code = 1
    try:
        _become(launch)
    except SpawnError as problem:
        code = _report(problem, on_failure)
    except BaseException as problem:  # noqa: BLE001  a forked copy must never run on as a second pyinit
        code = _report(SpawnError("starting the child", repr(problem)), on_failure)
    finally:
        os._exit(code)


def take_foreground(fd: int = 0) -> None:
    """Make our group the foreground group of the terminal at a descriptor; no terminal there is fine."""
    try:
        os.tcsetpgrp(fd, os.getpgrp())
    except OSError as problem:
        if problem.errno not in _NO_TERMINAL:
            raise SpawnError("tcsetpgrp", os.strerror(problem.errno or 0)) from problem


def leave_terminal() -> None:
    """Stay in the background: a proxy keeps the foreground, or Ctrl-C would interrupt the app before the drain.

    Reading a terminal from the background stops a process, so stdin is /dev/null where it would be one.
    """
    if os.isatty(0):
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)


def _report(problem: SpawnError, on_failure: Callable[[SpawnError], int]) -> int:
    # At its default by now: with nobody at the other end of stderr the line would cost us the code.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    return on_failure(problem)


def _become(launch: Launch) -> None:
    if launch.own_group:
        try:
            os.setpgid(0, 0)
        except OSError as problem:
            raise SpawnError("setpgid", os.strerror(problem.errno or 0)) from problem
    launch.terminal()
    if launch.directory is not None:
        try:
            os.chdir(launch.directory)
        except OSError as problem:
            where = launch.directory.decode(errors="surrogateescape")
            raise SpawnError(f"chdir {where}", os.strerror(problem.errno or 0)) from problem
    for fd in launch.keep:
        os.set_inheritable(fd, True)  # noqa: FBT003  the library's signature
    launch.dispositions.restore()
    _signal.pthread_sigmask(_signal.SIG_SETMASK, launch.mask)
    _execvp(launch.command, launch.environment)


def read_environment() -> list[bytes]:
    """The environment block pyinit was started with, byte for byte.

    ``os.environb`` will not do: in the C locale CPython adds LC_CTYPE to it (PEP 538), and it keeps neither
    order nor doubles. Without /proc it has to, less that addition: made where the locale was C at start, as where the
    one that is asked for is not installed, and known by the UTF-8 mode that comes with it (PEP 540).
    """
    try:
        with open("/proc/self/environ", "rb", buffering=0) as block:
            data = block.readall()
    except OSError:
        entries = dict(os.environb)
        was_c_locale = sys.flags.utf8_mode and not entries.get(b"LC_ALL")
        if was_c_locale and entries.get(b"LC_CTYPE") in (b"C.UTF-8", b"C.utf8", b"UTF-8"):
            del entries[b"LC_CTYPE"]
        return [name + b"=" + value for name, value in entries.items()]
    return data.split(b"\0")[:-1] if data else []


def child_environment(entries: Iterable[bytes], port_name: bytes, port: int | None) -> list[bytes]:
    """The block for the child: without what is ours, with the port it is to listen on.

    Args:
        entries: as read_environment gives them.
        port_name: of the variable for the port; empty for none.
        port: None leaves the variable as it was.
    """
    kept = [e for e in entries if not e.startswith(_OWN_PREFIX) or e.startswith(_SERVICE_PREFIXES)]
    if port is None or not port_name:
        return kept
    entry = port_name + b"=" + str(port).encode()
    at = [i for i, e in enumerate(kept) if e.partition(b"=")[0] == port_name]
    if not at:
        return [*kept, entry]
    return [entry if i == at[0] else e for i, e in enumerate(kept) if i not in at[1:]]


class _Block:
    """An environment as the mapping that execve wants, but with order and doubles kept."""

    def __init__(self, entries: list[bytes]) -> None:
        # From the second byte on, as getenv and bash read names such as "=C:".
        self._pairs = [(e[: e.index(b"=", 1)], e[e.index(b"=", 1) + 1 :]) for e in entries]

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, name: bytes) -> bytes:
        return dict(self._pairs)[name]

    def keys(self) -> list[bytes]:
        return [name for name, _ in self._pairs]

    def values(self) -> list[bytes]:
        return [value for _, value in self._pairs]


def _execvp(command: list[bytes], environment: list[bytes]) -> None:
    """Become the command as execvp(3) does; returns by SpawnError alone."""
    file = command[0]
    refused: OSError | None = None
    if not file:
        candidates = []  # ENOENT, as execve(2) says; os.execve has a ValueError of its own for it
    elif b"/" in file:
        candidates = [file]
    else:
        # confstr(_CS_PATH), execvp's own default.
        path = next((e[5:] for e in environment if e.startswith(b"PATH=")), b"/bin:/usr/bin")
        candidates = [(part or b".") + b"/" + file for part in path.split(b":")]
    last = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for candidate in candidates:
        try:
            become(candidate, command, environment)
        except OSError as problem:
            if problem.errno == errno.ENOEXEC:
                # Neither a shebang nor a known format: a script for /bin/sh, which os.execvp does not do.
                try:
                    become(b"/bin/sh", [b"/bin/sh", candidate, *command[1:]], environment)
                except OSError as shell_problem:
                    last = shell_problem
                break
            last = problem
            if problem.errno == errno.EACCES:
                refused = problem
            elif problem.errno not in _LOOK_ON:
                break
    if refused is not None and last.errno in _LOOK_ON:
        last = refused
    code = {errno.ENOENT: 127, errno.EACCES: 126}.get(last.errno or 0, 1)
    raise SpawnError(f"exec {file.decode(errors='surrogateescape')}", os.strerror(last.errno or 0), code)


def become(path: bytes, command: list[bytes], environment: list[bytes]) -> None:
    """Exec, with any environment block at all (execve(2)); returns by OSError alone."""
    try:
        block = _Block(environment)
    except ValueError:
        _execve_raw(path, command, environment)
    else:
        os.execve(path, command, block)  # type: ignore[arg-type]  # noqa: S606  a mapping by duck type; no shell


def _execve_raw(path: bytes, command: list[bytes], environment: list[bytes]) -> None:
    """For a block with entries that are no NAME=value, which os.execve cannot express."""
    import ctypes  # noqa: PLC0415  rare, and costs start time

    libc = ctypes.CDLL(None, use_errno=True)
    vector = ctypes.c_char_p * (len(command) + 1)
    block = ctypes.c_char_p * (len(environment) + 1)
    libc.execve(path, vector(*command, None), block(*environment, None))
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
