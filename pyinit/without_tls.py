"""Loads the libraries that import ``ssl`` for what we never ask of them, without it: pyinit speaks no TLS.

It is 4.1 MiB and a tenth of the time that the loop's import takes, and OpenSSL in PID 1 would be code that nobody
calls. Three libraries of ours import it when they are imported:

- asyncio does without where it cannot be imported, as Python can be built without.
- aiohttp does too, and where it can, reads all the system's certificates: 2 MiB and a quarter of its import.
- uvloop insists. It takes nine names and looks at them when it is asked for TLS. For its import alone, something under
  these names stands in; any other name is taken from ssl itself, loaded then, so that a uvloop that wants more costs
  what it cost before, and works.

``sys.modules`` is as it was afterwards: whoever imports ssl later gets it. Asked for TLS, asyncio says that there is
none, and so does uvloop.

Refused: importlib.util.LazyLoader, as uvloop's taking a name loads it. Dropping OpenSSL's pages afterwards (madvise):
they would come back, and the time had been spent.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

_SSL = "ssl"
# What uvloop 0.21 to 0.23 takes (includes/stdlib.pxi).
_FUNCTIONS = ("MemoryBIO", "create_default_context")
_TYPES = ("SSLContext",)
_ERRORS = ("SSLError", "SSLWantReadError", "SSLSyscallError", "SSLZeroReturnError", "CertificateError")
_NUMBERS = {"SSL_ERROR_WANT_READ": 2, "SSL_ERROR_WANT_WRITE": 3, "SSL_ERROR_SYSCALL": 5}  # openssl/ssl.h


def load_loop() -> None:
    """Import asyncio and uvloop. Raises ImportError."""
    load("asyncio")
    if _SSL in sys.modules:
        import_module("uvloop")  # some .pth file has loaded it: there is nothing to gain
        return
    stand_in = sys.modules[_SSL] = _StandIn()
    try:
        import_module("uvloop")
    finally:
        if sys.modules.get(_SSL) is stand_in:
            del sys.modules[_SSL]


def load(name: str) -> None:
    """Import a module that does without TLS where ``ssl`` cannot be imported. Raises ImportError.

    In a thread too, but then other threads cannot import it meanwhile either.
    """
    kept = sys.modules.get(_SSL)
    # As documented (the import system, "The module cache"), None makes an import of it fail.
    sys.modules[_SSL] = None  # type: ignore[assignment]  # typeshed has modules only
    try:
        import_module(name)
    finally:
        if kept is None:
            del sys.modules[_SSL]
        else:
            sys.modules[_SSL] = kept


class _StandIn(ModuleType):
    """Under ssl's name, while uvloop is imported."""

    def __init__(self) -> None:
        super().__init__(_SSL)
        for name in _FUNCTIONS:
            setattr(self, name, _refuse)
        for name in _TYPES:
            setattr(self, name, type(name, (), {}))
        for name in _ERRORS:
            setattr(self, name, type(name, (Exception,), {}))
        for name, number in _NUMBERS.items():
            setattr(self, name, number)

    def __getattr__(self, name: str) -> object:
        """A name that we have not foreseen."""
        if name.startswith("__"):
            raise AttributeError(name)  # of the import system, which asks how every module was loaded
        if sys.modules.get(_SSL) is self:
            del sys.modules[_SSL]
        return getattr(import_module(_SSL), name)


def _refuse() -> None:
    raise NotImplementedError("pyinit speaks no TLS")
