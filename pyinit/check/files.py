"""Which files of a directory are checked, and of what kind each is, by name and place."""

from __future__ import annotations

import errno
import os
import re
import stat
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

# Nothing of the project's own is in there, or nothing that is deployed.
_SKIPPED = frozenset(("node_modules", "bower_components", "__pycache__", "venv", "vendor"))
_FILES_MAX = 50_000
_BYTES_MAX = 2 << 20
_DEVELOPMENT = re.compile(
    r"(^|[._-])(dev|devel|develop|development|test|tests|testing|e2e|ci|local|override|debug)([._-]|$)",
    re.IGNORECASE,
)
_SOURCES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts")


class Tree:
    """The files under a directory; paths are relative to it, with slashes.

    Attributes:
        root: the directory.
        paths: sorted.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths: list[str] = []
        for above, directories, names in os.walk(root):
            directories[:] = sorted(
                name for name in directories if not name.startswith(".") and name not in _SKIPPED
            )
            base = PurePosixPath(Path(above).relative_to(root).as_posix())
            self.paths += [str(base / name) for name in names]
            if len(self.paths) > _FILES_MAX:
                break
        self.paths.sort()
        self._there = frozenset(self.paths)

    def read(self, path: str) -> str:
        """A file's text. Raises OSError with the reason where there is none to be had."""
        try:
            # A link may lead to a FIFO, or into /proc, where a read waits.
            descriptor = os.open(self.root / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except ValueError:  # no path at all: a NUL in it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
        content = bytearray()
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            while len(content) <= _BYTES_MAX and (more := os.read(descriptor, _BYTES_MAX + 1 - len(content))):
                content += more
        finally:
            os.close(descriptor)
        if len(content) > _BYTES_MAX:
            raise OSError(errno.EFBIG, f"it is larger than {_BYTES_MAX >> 20} MiB")
        return content.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")

    def text(self, path: str) -> str | None:
        """A file's text; None where ``read`` has none."""
        try:
            return self.read(path)
        except OSError:
            return None

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._there

    def matches(self, pattern: str) -> bool:
        """Whether a file, or one below a directory, fits a pattern of COPY."""
        if pattern in ("", "."):
            return True
        return any(fnmatch(path, pattern) or fnmatch(path, pattern.rstrip("/") + "/*") for path in self.paths)

    def under(self, directory: str) -> list[str]:
        """Every file below a directory."""
        if directory in ("", "."):
            return self.paths
        return [path for path in self.paths if path.startswith(directory.rstrip("/") + "/")]

    def sources(self, directory: str) -> list[str]:
        """What is, or becomes, JavaScript, without tests."""
        return [
            path
            for path in self.under(directory)
            if path.endswith(_SOURCES) and not path.endswith(".d.ts") and not is_for_development(path)
        ]

    def __repr__(self) -> str:
        return f"Tree({str(self.root)!r}, {len(self.paths)} files)"


def is_dockerfile(path: str) -> bool:
    """By its name, as docker and podman have it."""
    name = PurePosixPath(path).name.lower()
    if name.endswith((".dockerignore", ".md", ".js", ".ts", ".py", ".sh", ".json", ".yml", ".yaml")):
        return False
    pattern = r"(dockerfile|containerfile)([._-].+)?|.+\.(dockerfile|containerfile)"
    return re.fullmatch(pattern, name, re.DOTALL) is not None


def is_compose(path: str) -> bool:
    """compose.yaml, docker-compose.yml, Swarm's stack.yaml, and their variants."""
    name = PurePosixPath(path).name.lower()
    return re.fullmatch(r"(docker-)?(compose|stack)([._-].+)?\.ya?ml", name) is not None


def is_for_development(path: str) -> bool:
    """Whether its name says that it is not for production."""
    return any(_DEVELOPMENT.search(part) for part in PurePosixPath(path).parts)


def joined(directory: str, path: str) -> str:
    """A path inside the tree, normalised; it may lead out of it (``../x``)."""
    return os.path.normpath(str(PurePosixPath(directory) / path))


def parent(path: str) -> str:
    """Of a file; ``.`` at the top."""
    return str(PurePosixPath(path).parent)
