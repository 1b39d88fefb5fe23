"""Runs a command that is refused some system calls, as a seccomp profile of an engine refuses them.

    python tests/support/seccomp.py SO_BINDTOIFINDEX SO_ATTACH_FILTER -- pyinit ...

The kernel refuses them itself, with EPERM: nothing in the process under test is replaced.
"""

import ctypes
import os
import platform
import struct
import sys

_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06  # ld [k]; jeq #k; ret #k
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO | EPERM
# struct seccomp_data: the call's number, the architecture, the instruction pointer, six arguments of 8 bytes. Low
# halves first: both architectures are little-endian.
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
# AUDIT_ARCH_*, then the numbers of setsockopt and socket.
_MACHINES = {"x86_64": (0xC000003E, 54, 41), "aarch64": (0xC00000B7, 208, 198)}
_SOL_SOCKET, _AF_NETLINK, _NETLINK_SOCK_DIAG = 1, 16, 4
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2


def _rules(names: list[str]) -> list[tuple[int, dict[int, int]]]:
    """(number of a call, argument -> value) for each name."""
    _, setsockopt, socket = _MACHINES[platform.machine()]
    known = {
        "SO_BINDTOIFINDEX": (setsockopt, {1: _SOL_SOCKET, 2: 62}),
        "SO_ATTACH_FILTER": (setsockopt, {1: _SOL_SOCKET, 2: 26}),
        "SOCK_DIAG": (socket, {0: _AF_NETLINK, 2: _NETLINK_SOCK_DIAG}),
    }
    return [known[name] for name in names]


def _program(rules: list[tuple[int, dict[int, int]]]) -> bytes:
    """Each rule is a run of equalities, the first that fails jumping past it."""
    arch = _MACHINES[platform.machine()][0]
    steps = [(_LOAD, 0, 0, _ARCH), (_JUMP_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _ALLOW)]
    for number, arguments in rules:
        conditions = {_NUMBER: number, **{_ARGUMENTS + 8 * i: value for i, value in arguments.items()}}
        left = 2 * len(conditions) + 1
        for at, value in conditions.items():
            left -= 2
            steps += [(_LOAD, 0, 0, at), (_JUMP_EQUAL, 0, left, value)]
        steps.append((_RETURN, 0, 0, _REFUSE))
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def refuse(names: list[str]) -> None:
    """From here on these are refused to this process and all that come of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = _program(_rules(names))
    memory = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(memory)))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program):
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def main() -> None:
    """See above."""
    at = sys.argv.index("--")
    refuse(sys.argv[1:at])
    os.execvp(sys.argv[at + 1], sys.argv[at + 1 :])  # noqa: S606  what it is for


if __name__ == "__main__":
    main()
