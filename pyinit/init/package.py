"""A package as npm, yarn and pnpm see it: its directory, its package.json, and what a script of it is given."""

from __future__ import annotations

import os
import stat

from pyinit.errors import PyinitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# The longest in npm's registry are some hundred kilobytes; PID 1 reads no gigabytes into its memory.
_MANIFEST_MAX_BYTES = 4 << 20
_SETTINGS_MAX_BYTES = 1 << 20
# Of the tools' own settings, those that change what a script is or how it runs.
_TELLING = frozenset(
    (b"node-options", b"script-shell", b"shell-emulator", b"workspace", b"workspaces", b"nodeoptions",
     b"scriptshell", b"shellemulator", b"recursive", b"global")
)  # fmt: skip
# What Yarn 2 and later leave beside a package.json: their scripts run in a shell and with a loader of their own.
_BERRY = (b".yarnrc.yml", b".pnp.cjs", b".pnp.js")


class Unreadable(PyinitError):
    """A package.json, or a script of it, that is not there or cannot be read; the text is a clause."""


class Package:
    """A package.json that was read.

    Attributes:
        directory: absolute.
        scripts: by name; only what is text, as for npm.
    """

    __slots__ = ("_content", "directory", "scripts")

    def __init__(self, directory: bytes, content: dict[str, object]) -> None:
        self.directory = directory
        self._content = content
        scripts = content.get("scripts", {})
        if not isinstance(scripts, dict):
            raise Unreadable(f"the scripts of {shown(self.path)} are no object")
        self.scripts = {name: text for name, text in scripts.items() if isinstance(text, str)}
        if "start" not in self.scripts and os.path.isfile(os.path.join(directory, b"server.js")):
            self.scripts["start"] = "node server.js"  # so do all three

    @property
    def path(self) -> bytes:
        """Of its package.json."""
        return os.path.join(self.directory, b"package.json")

    def variables(self) -> list[tuple[bytes, bytes]]:
        """The npm_package_* variables that an app may read: name, version, and what its author put under config.

        npm adds engines and bin, yarn 1 and older npm the whole file: nobody's code asks for those at run time.
        """
        found = [(b"npm_package_json", self.path)]
        wanted = {name: self._content.get(name) for name in ("name", "version", "config")}
        for name, text in _flattened("npm_package_", wanted):
            try:
                pair = name.encode(), text.encode()
            except UnicodeEncodeError:
                continue  # half a surrogate pair, which no environment can hold
            if b"\0" not in pair[0] + pair[1] and b"=" not in pair[0]:
                found.append(pair)
        return found

    def uses_berry(self) -> bool:
        """Whether yarn is Yarn 2 or later here."""
        manager = self._content.get("packageManager")
        if isinstance(manager, str) and manager.startswith("yarn@") and not manager.startswith("yarn@1."):
            return True
        return any(
            os.path.exists(os.path.join(above, name)) for above in upwards(self.directory) for name in _BERRY
        )

    def program(self, name: bytes) -> bytes | None:
        """The path of a program that a dependency brought; None where there is none."""
        if b"/" in name:
            return None
        paths = (os.path.join(where, name) for where in self.program_directories())
        return next((path for path in paths if os.access(path, os.X_OK)), None)

    def program_directories(self) -> list[bytes]:
        """What npm puts in front of PATH, there or not."""
        return [os.path.join(above, b"node_modules/.bin") for above in upwards(self.directory)]

    def __repr__(self) -> str:
        return f"Package({shown(self.path)}, scripts={sorted(self.scripts)})"


def find(start: bytes, *, searches: bool) -> Package:
    """The package that a tool works on.

    Args:
        start: where it was started, or was told to go.
        searches: whether it looks above that as well.

    Raises:
        Unreadable: there is none, or it cannot be read.
    """
    nearest = start
    if searches:
        for above in upwards(start):
            if os.path.lexists(os.path.join(above, b"package.json")):
                nearest = above
                break
    return Package(nearest, _manifest(os.path.join(nearest, b"package.json")))


def settings_in_the_way(package: Package, environment: list[bytes]) -> str | None:
    """A setting of the tools' that makes a script run otherwise than as its words say, as a reason; None for none.

    All three read .npmrc: the package's, those above it, the user's and the machine's.
    """
    variables = dict(entry.partition(b"=")[::2] for entry in reversed(environment))
    lowered = {name.lower(): name for name in variables}
    for low, name in lowered.items():
        tool, _, key = low.partition(b"_config_")
        if tool in (b"npm", b"pnpm") and key.replace(b"_", b"-") in _TELLING and variables[name]:
            return f"the variable {shown(name)} changes how it runs"
    user = variables.get(lowered.get(b"npm_config_userconfig", b""), b"")
    home, prefix = variables.get(b"HOME", b""), variables.get(lowered.get(b"npm_config_prefix", b""), b"")
    names = (b".npmrc", b".yarnrc", b"pnpm-workspace.yaml")
    paths = [os.path.join(above, name) for above in upwards(package.directory) for name in names]
    paths += [user or os.path.join(home, b".npmrc"), os.path.join(home, b".yarnrc")]
    paths += [os.path.join(root, b"etc/npmrc") for root in (prefix, b"/usr/local", b"/usr") if root]
    for path in paths:
        for line in _lines(path):
            # NAME = value, NAME[] = value, NAME: value, --run.NAME value
            key = (
                line.replace(b"=", b" ")
                .replace(b":", b" ")
                .replace(b"[", b" ")
                .strip()
                .partition(b" ")[0]
                .strip(b"\"'")
            )
            if key.rpartition(b".")[2].lower() in _TELLING:
                return f"{shown(path)} sets {shown(key)}, which changes how it runs"
    return None


def upwards(directory: bytes) -> Iterator[bytes]:
    """A directory and all above it."""
    while True:
        yield directory
        above = os.path.dirname(directory)
        if above == directory:
            return
        directory = above


def shown(text: bytes) -> str:
    """Bytes for a person."""
    return text.decode("utf-8", "backslashreplace")


def _manifest(path: bytes) -> dict[str, object]:
    import json  # noqa: PLC0415  it costs milliseconds, which no other command pays; npm's own start costs hundreds

    try:
        data = _contents(path, _MANIFEST_MAX_BYTES)
    except OSError as problem:
        raise Unreadable(f"{shown(path)}: {os.strerror(problem.errno or 0)}") from problem
    try:
        # As Node decodes it, and less the mark that npm strips.
        content = json.loads(data.decode("utf-8", "replace").removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise Unreadable(f"{shown(path)} is not valid JSON") from None
    if not isinstance(content, dict):
        raise Unreadable(f"{shown(path)} is no JSON object")
    return content


def _contents(path: bytes, limit_bytes: int) -> bytes:
    """A regular file's bytes. Raises Unreadable for what is none or too long, OSError for what cannot be read."""
    # Not blocking: opening a FIFO would else wait for somebody who writes into it.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable(f"{shown(path)} is no file")
        data = b""
        while len(data) <= limit_bytes and (part := os.read(fd, limit_bytes + 1 - len(data))):
            data += part
    finally:
        os.close(fd)
    if len(data) > limit_bytes:
        raise Unreadable(f"{shown(path)} is longer than {limit_bytes >> 20} MiB")
    return data


def _lines(path: bytes) -> list[bytes]:
    """A settings file's lines; none where there is none to be read, which is so for the tools as well."""
    try:
        return _contents(path, _SETTINGS_MAX_BYTES).splitlines()
    except (OSError, Unreadable):
        return []


def _flattened(prefix: str, values: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Names and values as npm makes them of an object; JSON's null and false are empty."""
    todo = [(prefix + name, value) for name, value in reversed(values.items()) if value is not None]
    while todo:
        name, value = todo.pop()
        if isinstance(value, dict):
            todo += [(f"{name}_{key}", inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list):
            todo += [(f"{name}_{index}", inner) for index, inner in reversed(list(enumerate(value)))]
        elif value is None or value is False:
            yield name, ""
        else:
            yield name, "true" if value is True else str(value)
