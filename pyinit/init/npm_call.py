"""A command line of npm, yarn or pnpm as the tool reads it: which script, in which directory, with which arguments.

npm 7 and later, yarn 1 and pnpm 7 and later, as they were seen to read them; what is not understood to the end is
told as a problem, not guessed at.
"""

from __future__ import annotations

import os

from pyinit.init import words
from pyinit.init.package import shown
from pyinit.init.words import NeedsShell

_TOOLS = {
    b"npm": "npm",
    b"npm-cli.js": "npm",
    b"yarn": "yarn",
    b"yarnpkg": "yarn",
    b"yarn.js": "yarn",
    b"pnpm": "pnpm",
    b"pnpm.cjs": "pnpm",
}
_SHELLS = (b"sh", b"ash", b"dash", b"bash")
# npm's aliases, lib/utils/cmd-list.js; its abbreviations (npm resta) are left out.
_RUN = {"npm": (b"run", b"run-script", b"rum", b"urn"), "yarn": (b"run",), "pnpm": (b"run", b"run-script")}
_NAMED = {b"start": b"start", b"stop": b"stop", b"restart": b"restart", b"test": b"test", b"t": b"test",
          b"tst": b"test"}  # fmt: skip
# What yarn and pnpm take for commands of their own, in any version; every other word may be a script.
_COMMANDS = frozenset(
    b"access add approve-builds audit autoclean bin bugs cache cat-file cat-index check ci completion"
    b" config constraints create dedupe deploy deprecate dist-tag dlx docs doctor env exec explain fetch"
    b" find-hash generate-lock-entry global help i import info init install install-test it la licenses"
    b" link list ll ln login logout ls node npm outdated owner pack patch patch-commit patch-remove plugin"
    b" plugins policies prune publish rb rebuild recursive remove rm root search self-update server set"
    b" setup stage store tag team un uninstall unlink unplug up update upgrade upgrade-interactive version"
    b" versions view whoami why workspaces".split()
)
# Options that change what a tool prints, or whether it asks, and nothing of what it runs.
_QUIET = frozenset(
    b"-s --silent -q --quiet -d -dd -ddd --verbose --no-color --color --no-audit --no-fund --no-progress"
    b" --no-update-notifier --update-notifier=false --fund=false --audit=false --progress=false --color=false"
    b" --non-interactive --no-emoji --if-present --loglevel --reporter".split()
)
_DIRECTORY = {"npm": (b"--prefix", b"-C"), "yarn": (b"--cwd",), "pnpm": (b"--dir", b"-C", b"--prefix")}
_VALUED = frozenset(
    b"--loglevel --reporter --workspace -w --filter -F --node-options --script-shell --registry --cache --userconfig"
    b" --globalconfig --mutex --modules-folder --cache-folder --use-yarnrc --workspace-concurrency".split()
)
# The script is another package's.
_ELSEWHERE = frozenset(
    b"--workspace -w --workspaces -ws --filter -F --recursive -r --global -g --workspace-root".split()
)


class Call:
    """A command line as its tool reads it.

    Attributes:
        tool: npm, yarn or pnpm.
        command: run, or its alias; empty where the script is named alone.
        script: its name.
        arguments: what the script is given.
        directory: as --prefix and its like say; None for where it was started.
        is_implicit: yarn NAME, pnpm NAME: a script, or a program of a dependency's, or a command we do not know.
        problem: what was understood too little of to do without the tool; None for nothing.
        is_elsewhere: it runs the script of another package.
        assignments: in front of it, in a shell's command.
        hides_arguments: they come from the command line, and can hold tokens.
    """

    __slots__ = (
        "arguments",
        "assignments",
        "command",
        "directory",
        "hides_arguments",
        "is_elsewhere",
        "is_implicit",
        "problem",
        "script",
        "tool",
    )

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.command = b""
        self.script = b""
        self.arguments: list[bytes] = []
        self.directory: bytes | None = None
        self.is_implicit = False
        self.is_elsewhere = False
        self.problem: str | None = None
        self.assignments: list[tuple[bytes, bytes]] = []
        self.hides_arguments = True

    @property
    def text(self) -> str:
        """As a person would type it."""
        return " ".join(shown(word) for word in (self.tool.encode(), self.command, self.script) if word)


def read_call(command: list[bytes], environment: list[bytes]) -> Call | None:
    """The call that a command is, itself or in a shell's ``-c``; None for any other command.

    Args:
        command: program and arguments, as for exec.
        environment: the whole block it would have.
    """
    program = os.path.basename(command[0])
    if program in _SHELLS and len(command) > 2 and command[1][:1] == b"-" and command[1][-1:] == b"c":
        try:
            plain = words.read(command[2].strip(b" \t\n"))
        except NeedsShell:
            return None
        if os.path.basename(plain.words[0]) in _SHELLS:
            return None
        call = read_call(plain.words, environment)
        if call is not None:
            call.assignments = plain.assignments
            if command[1].strip(b"-") not in (b"c", b"ec", b"euc", b"uc"):
                call.problem = call.problem or f"the shell is told {shown(command[1])}"
            elif program == b"bash" and any(entry.startswith(b"BASH_ENV=") for entry in environment):
                call.problem = call.problem or "bash reads BASH_ENV first"
        return call
    at = 1
    if program in (b"node", b"nodejs") and len(command) > 1:
        program, at = os.path.basename(command[1]), 2
        if not program.endswith((b".js", b".cjs")):
            return None
    elif program.endswith((b".js", b".cjs")):
        return None
    tool = _TOOLS.get(program)
    if tool is None:
        return None
    call = Call(tool)
    is_one = _read_npm(call, command[at:]) if tool == "npm" else _read_other(call, command[at:])
    return call if is_one else None


def is_tool(command: list[bytes]) -> bool:
    """Whether it is one of the three, whatever it is told to do."""
    return os.path.basename(command[0]) in _TOOLS


def _read_npm(call: Call, arguments: list[bytes]) -> bool:
    """Of npm: options anywhere up to ``--``, which goes; the words left are command, script and its arguments."""
    positional: list[bytes] = []
    at = 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if word == b"--":
            positional += arguments[at:]
            break
        if word.startswith(b"-") and word != b"-":
            at = _take_option(call, word, arguments, at)
        else:
            positional.append(word)
    if positional and positional[0] in _NAMED:
        call.script = _NAMED[positional[0]]
        call.arguments = positional[1:]
    elif len(positional) > 1 and positional[0] in _RUN["npm"]:
        call.command, call.script, *call.arguments = positional
    else:
        return False
    return True


def _read_other(call: Call, arguments: list[bytes]) -> bool:
    """Of yarn and pnpm: options up to the script's name, and all after it is the script's."""
    at = 0
    runs = _RUN[call.tool]
    while at < len(arguments):
        word = arguments[at]
        at += 1
        if word.startswith(b"-") and word != b"--":
            at = _take_option(call, word, arguments, at)
        elif word in runs and not call.command:
            call.command = word
        elif call.tool == "yarn" and word == b"workspace":
            call.is_elsewhere, call.problem = True, "it is the script of a workspace"
            call.script = b" ".join(arguments[at - 1 : at + 3])
            return len(arguments) > at + 1 and arguments[at + 1] not in _COMMANDS
        else:
            break
    else:
        return False  # yarn alone installs; run alone lists
    if word == b"--" or (word in _COMMANDS and not call.command):
        return False
    if call.command:
        call.script = word
    else:
        call.script = _NAMED.get(word, word) if call.tool == "pnpm" else word
        call.is_implicit = call.script not in _NAMED
    call.arguments = arguments[at:]
    if call.tool == "yarn" and b"--" in call.arguments:
        # Version 1 drops it, and all options in front of it.
        call.problem = call.problem or "yarn reads -- otherwise from version to version"
    if call.tool == "pnpm" and call.script == b"restart":
        call.problem = call.problem or "pnpm restart runs stop and start as well"
    return True


def _take_option(call: Call, word: bytes, arguments: list[bytes], at: int) -> int:
    """Note what an option means; where to read on."""
    name, equals, value = word.partition(b"=")
    takes_value = name in _DIRECTORY[call.tool] or name in _VALUED
    if call.tool == "pnpm" and name == b"-w":
        takes_value = False  # --workspace-root there
    if takes_value and not equals:
        value = arguments[at] if at < len(arguments) else b""
        at += 1
    if name in _DIRECTORY[call.tool]:
        call.directory = value
        if not value or value.startswith(b"~"):
            call.problem = f"{shown(name)} names no plain directory"
    elif name in _ELSEWHERE:
        call.is_elsewhere, call.problem = True, f"{shown(name)} names another package"
    elif word not in _QUIET and not (takes_value and name in _QUIET):
        call.problem = call.problem or f"{call.tool} reads {shown(name)} itself"
    return at
