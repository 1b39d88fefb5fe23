"""Which script a command has npm, yarn or pnpm run, and what to start instead of all three.

They stand between the init and the app: npm passes some signals on, through a shell that may not, and answers with
a code of its own. What cannot be replaced for certain is left as it is, with the reason: nothing that worked may
stop working.
"""

from __future__ import annotations

import os

from pyinit.errors import PyinitError
from pyinit.init import package, words
from pyinit.init.npm_call import Call, is_tool, read_call
from pyinit.init.package import Package, Unreadable, shown
from pyinit.init.words import NeedsShell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyinit.init.spawn import Launch

# lib/commands/run.js
_NPMS_OWN = {"restart": "npm stop --if-present && npm start", "env": "env"}
# Scripts that run scripts; more are a circle.
_DEPTH_MAX = 8


class Plan:
    """What to start instead.

    Attributes:
        command: program and arguments.
        environment: the whole block.
        directory: where it runs, the package's.
    """

    __slots__ = ("command", "directory", "environment")

    def __init__(self, command: list[bytes], environment: list[bytes], directory: bytes) -> None:
        self.command = command
        self.environment = environment
        self.directory = directory


class Found:
    """A command that has a tool run a script.

    Attributes:
        tool: npm, yarn or pnpm.
        call: ``npm start``, without what else was given: that can hold tokens, and this is for logs.
        source: the package.json; empty where it was not found.
        runs: the script's text, and what that runs where it is a call of this kind itself.
        around: pre and post scripts.
        plan: None where it cannot be replaced.
        reason: why not.
        advice: what to write into the Dockerfile; empty without a plan.
        told: the plan's command for that: a dependency's program by its path, what was given to the script as an
            ellipsis.
        sets: variables that it sets; None for a value that is not to be shown.
        is_wanted: --exec-npm.
        is_replaced: the plan is what is started.
    """

    __slots__ = (
        "advice",
        "around",
        "call",
        "is_replaced",
        "is_wanted",
        "plan",
        "reason",
        "runs",
        "sets",
        "source",
        "told",
        "tool",
    )

    def __init__(self, tool: str, call: str) -> None:
        self.tool = tool
        self.call = call
        self.is_wanted = False
        self.is_replaced = False
        self.source = ""
        self.runs: list[str] = []
        self.around: list[str] = []
        self.plan: Plan | None = None
        self.reason: str | None = None
        self.advice = ""
        self.told: list[bytes] = []
        self.sets: list[tuple[bytes, bytes | None]] = []

    @property
    def hint(self) -> str:
        """What to do about it: the reason against --exec-npm, or what to write."""
        if self.plan is not None:
            return f"write {self.advice}, or give --exec-npm"
        if self.is_wanted:
            return f"--exec-npm cannot replace it: {self.reason}"
        return f"write the program that it starts as CMD, in exec form ({self.reason})"

    def replace(self, launch: Launch) -> None:
        """Have the plan started, where it is wanted."""
        if self.plan is not None and self.is_wanted:
            self.is_replaced = True
            launch.command, launch.environment = self.plan.command, self.plan.environment
            launch.directory = self.plan.directory

    def sentence(self) -> str:
        """One line for a person."""
        runs = ", which runs ".join(repr(text[:200]) for text in self.runs)
        around = f", beside {' and '.join(self.around)}" if self.around else ""
        what = f"{self.call!r} runs {runs}{around} ({self.source})" if runs else repr(self.call)
        if self.is_replaced:
            return f"--exec-npm: started without {self.tool}: {what}"
        return f"CMD runs {self.tool}, which does not pass signals on dependably: {what}; {self.hint}"

    def __repr__(self) -> str:
        return f"Found({self.call!r}, runs={self.runs!r}, reason={self.reason!r})"


class _Unfit(PyinitError):
    """It cannot be replaced; the text is the reason, a clause."""


def look(command: list[bytes], environment: list[bytes], *, is_wanted: bool) -> Found | None:
    """What a command has npm, yarn or pnpm run; None where it does no such thing.

    Args:
        command: program and arguments, as for exec.
        environment: the child's whole block.
        is_wanted: --exec-npm.
    """
    call = None
    try:
        call = read_call(command, environment)
        if call is None:
            return None
        cwd = os.getcwdb()
        found = _recognise(call, environment, cwd, 0)
        if found is not None and found.plan is not None:
            found.advice = _advice(found, found.plan, cwd)
    except Exception as problem:  # noqa: BLE001  whatever a package.json may hold: the app starts as it did without us
        if call is None:
            return None
        found = Found(call.tool, call.text)
        found.reason = f"it could not be looked at: {problem!r}"
    if found is not None:
        found.is_wanted = is_wanted
    return found


def _recognise(call: Call, environment: list[bytes], cwd: bytes, depth: int) -> Found | None:
    found = Found(call.tool, call.text)
    try:
        return found if _resolve(found, call, environment, cwd, depth) else None
    except (NeedsShell, Unreadable, _Unfit) as problem:
        found.plan, found.reason = None, str(problem)
        return found


def _resolve(found: Found, call: Call, environment: list[bytes], cwd: bytes, depth: int) -> bool:
    """Fill in what it runs, then what to start instead; False where it turns out to be no script.

    Raises:
        NeedsShell: nothing can be started instead, as for the next two.
        Unreadable: the script could not be seen.
        _Unfit: it could.
    """
    if call.is_elsewhere:
        raise _Unfit(call.problem or "")
    start = cwd if call.directory is None else os.path.normpath(os.path.join(cwd, call.directory))
    try:
        # npm's --prefix is the package itself; the others begin to look there.
        of = package.find(start, searches=call.tool != "npm" or call.directory is None)
    except Unreadable:
        if call.is_implicit:
            return False
        raise
    found.source = "package.json" if of.directory == cwd else shown(of.path)
    name = call.script.decode("utf-8", "surrogateescape")
    text = of.scripts.get(name)
    if text is None and call.tool == "npm":
        text = _NPMS_OWN.get(name)
    if text is None:
        if call.tool != "npm" and (program := of.program(call.script)) is not None:
            raise _Unfit(f"it is no script, but the program {shown(program)}")
        if call.is_implicit:
            return False
        raise Unreadable(f"there is no script {name!r} in {shown(of.path)}")
    found.runs.append(text)
    found.around += [around + name for around in ("pre", "post") if of.scripts.get(around + name)]
    _check(found, call, of, environment)
    _plan(found, call, of, environment, cwd, depth)
    return True


def _check(found: Found, call: Call, of: Package, environment: list[bytes]) -> None:
    """Whatever makes the tool do more than run the words of the script, as _Unfit."""
    if call.problem is not None:
        raise _Unfit(call.problem)
    if call.tool == "yarn" and of.uses_berry():
        raise _Unfit("Yarn 2 and later run scripts in a shell of their own")
    if found.around:
        # yarn 2 and pnpm before 9 do not run them, all others do.
        raise _Unfit(f"{' and '.join(found.around)} would not run")
    if (reason := package.settings_in_the_way(of, environment)) is not None:
        raise _Unfit(reason)


def _plan(found: Found, call: Call, of: Package, environment: list[bytes], cwd: bytes, depth: int) -> None:
    """Read the script, through those that it runs in turn, and set the plan."""
    try:
        script = found.runs[0].encode()
    except UnicodeEncodeError:
        raise NeedsShell("it holds half a character") from None
    plain = words.read(script)
    inside = _environment(environment, call, of, script, cwd)
    for name, value in plain.assignments:
        inside = _with(inside, name, value)
    found.sets = [*((name, None) for name, _ in call.assignments), *plain.assignments]
    command = plain.words + call.arguments
    inner = read_call(command, inside)
    if inner is not None and depth < _DEPTH_MAX:
        inner.hides_arguments = call.hides_arguments and bool(call.arguments)
        again = _recognise(inner, inside, of.directory, depth + 1)
        if again is not None:
            _take_over(found, again)
            return
    if is_tool(command):
        raise _Unfit(f"it runs {shown(command[0])} again")
    found.plan = Plan(command, inside, of.directory)
    program = of.program(plain.words[0]) or plain.words[0]
    arguments = [b"\xe2\x80\xa6"] if call.arguments and call.hides_arguments else call.arguments
    found.told = [program, *plain.words[1:], *arguments]


def _take_over(found: Found, inner: Found) -> None:
    """What a script runs that is a call of a script itself."""
    found.runs += inner.runs
    found.around += inner.around
    if inner.plan is None:
        raise _Unfit(inner.reason or "")
    found.plan, found.told = inner.plan, inner.told
    found.sets += inner.sets


# -- what the script gets --------------------------------------------------------------------------------------


def _environment(entries: list[bytes], call: Call, of: Package, script: bytes, cwd: bytes) -> list[bytes]:
    """The script's block with what npm gives to scripts and an app may read.

    Left out: npm's own configuration (npm_config_*), its and node's path (npm_execpath, NODE: found in PATH again by
    whoever needs them), COLOR and EDITOR, and the directory with node-gyp in PATH.
    """
    for name, value in call.assignments:
        entries = _with(entries, name, value)
    path = next((entry[5:] for entry in entries if entry.startswith(b"PATH=")), b"/bin:/usr/bin")
    directories = [*of.program_directories(), *([path] if path else [])]
    command = call.script if call.tool == "npm" and not call.command else b"run-script"
    variables = [
        (b"PATH", b":".join(directories)),
        (b"INIT_CWD", cwd),
        (b"PWD", of.directory),  # the shell in between would set it
        (b"npm_command", command),
        (b"npm_lifecycle_event", call.script),
        (b"npm_lifecycle_script", script),
        *of.variables(),
    ]
    for name, value in variables:
        entries = _with(entries, name, value)
    return entries


def _with(entries: list[bytes], name: bytes, value: bytes) -> list[bytes]:
    """The block with a variable, once: in the place of the first of that name, or at the end."""
    start, entry = name + b"=", name + b"=" + value
    at = next((i for i, e in enumerate(entries) if e.startswith(start)), len(entries))
    return [*entries[:at], entry, *(e for e in entries[at + 1 :] if not e.startswith(start))]


def _advice(found: Found, plan: Plan, cwd: bytes) -> str:
    """The Dockerfile's lines that do the same."""
    import json  # noqa: PLC0415  loaded by now

    program, *arguments = found.told
    if plan.directory == cwd and program.startswith(os.path.join(cwd, b"")):
        program = os.path.relpath(program, cwd)
    text = f"CMD {json.dumps([shown(word) for word in (program, *arguments)], ensure_ascii=False)}"
    beside = [
        f"ENV {shown(name)}={'…' if value is None else _env_value(shown(value))}"
        for name, value in found.sets
    ]
    if plan.directory != cwd:
        beside.append(f"WORKDIR {shown(plan.directory)}")
    return f"{text} with {' and '.join(beside)}" if beside else text


def _env_value(text: str) -> str:
    """As ENV reads it: in double quotes where it is more than a word, the $ escaped."""
    if text.replace("_", "a").replace("-", "a").replace(".", "a").replace("/", "a").isalnum():
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{quoted}"'
