"""What a container starts: inits, wrappers and shells are taken off, one after the other, until the app is left."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from pyinit.check import shell
from pyinit.errors import PyinitError, Shown
from pyinit.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyinit.check.dockerfile import Command
    from pyinit.settings import Settings

_INITS = frozenset(
    ("tini", "tini-static", "docker-init", "dumb-init", "catatonit", "podman-init", "s6-svscan", "my_init")
)
# Of their options, those that take a value in the next word.
_INIT_VALUES = frozenset(("-p", "-e", "-r", "--rewrite"))
SHELLS = frozenset(("sh", "bash", "ash", "dash", "zsh"))
_CLOSING = frozenset(("fi", "done", "esac", "}"))
# They read something and give their place to what follows.
_USER_CHANGERS = frozenset(("gosu", "su-exec"))
_SETPRIV_VALUES = frozenset(
    ("--reuid", "--regid", "--ruid", "--rgid", "--euid", "--egid", "--groups", "--inh-caps", "--bounding-set")
)
_WRAPPERS = frozenset(("dotenv", "dotenvx", "doppler", "infisical", "chamber", "aws-env", "op"))
# The official image's: it ends in exec "$@".
_NODES_SCRIPT = "docker-entrypoint.sh"
_SCRIPT_CHANGES_USER = re.compile(r"\b(gosu|su-exec|setpriv|runuser|chroot)\b|\bsu\s")
_SCRIPT_HAS_INIT = re.compile(r"\b(pyinit|tini|dumb-init|catatonit)\b")

TOOLS = frozenset(("npm", "npx", "yarn", "yarnpkg", "pnpm", "pnpx", "corepack"))
MANAGERS = frozenset(("pm2", "pm2-runtime", "pm2-docker", "forever"))
_RUNNERS = frozenset(
    ("nodemon", "ts-node", "ts-node-esm", "ts-node-dev", "tsnd", "tsx", "babel-node", "vite-node", "node-dev")
)
_DEV_CALLS = frozenset(
    (("next", "dev"), ("nuxt", "dev"), ("nuxi", "dev"), ("vite", "dev"), ("vite", "serve"), ("ng", "serve"),
     ("nest", "start"), ("webpack", "serve"), ("react-scripts", "start"), ("remix", "dev"), ("astro", "dev"),
     ("gatsby", "develop"))
)  # fmt: skip
_ALL_ARGUMENTS = re.compile(r'"?\$(?:[@*]|\{[@*]\}|\{1\+"?\$@"?\})"?')
_JOBS = frozenset(("-e", "--eval", "-p", "-pe", "--print", "-c", "--check", "--test", "-v", "--version"))
_COMPILING = ("ts-node", "tsx", "@babel/register", "@babel/node", "esbuild-register", "@swc-node/register")


class Start(NamedTuple):
    """What is known of a start.

    Attributes:
        words: the app's program and arguments; empty where that is not known.
        inits: by name, the outermost first.
        settings: pyinit's, where it is one of them.
        problem: pyinit would refuse its options, with this line.
        shell: the text that a shell runs and stays for.
        bad_script: an entrypoint script that does not end in exec.
        changes_user: it starts as root to become somebody else.
        environment: variables set on the way.
    """

    words: tuple[str, ...] = ()
    inits: tuple[str, ...] = ()
    settings: Settings | None = None
    problem: str = ""
    shell: str = ""
    bad_script: str = ""
    changes_user: bool = False
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def program(self) -> str:
        """The app's, without directories."""
        return posixpath.basename(self.words[0]) if self.words else ""

    @property
    def is_front(self) -> bool:
        """Whether pyinit drains in front of it."""
        return self.settings is not None and self.settings.is_front

    @property
    def is_node(self) -> bool:
        """Whether the app is one of Node's."""
        if self.program in TOOLS | MANAGERS or "node_modules/.bin/" in "".join(self.words[:1]):
            return True
        return self.program in ("node", "nodejs") or self.runner != ""

    @property
    def is_job(self) -> bool:
        """Whether it is node with a text of its own: it does something and ends."""
        return self.program in ("node", "nodejs") and bool(_JOBS & set(self.words[1:2]))

    @property
    def node_run(self) -> str:
        """The script of package.json that ``node --run`` starts; empty for none."""
        if self.program not in ("node", "nodejs"):
            return ""
        for at, word in enumerate(self.words[1:], 1):
            if word == "--run":
                return self.words[at + 1] if at + 1 < len(self.words) else ""
            if word.startswith("--run="):
                return word.partition("=")[2]
            if not word.startswith("-"):
                break
        return ""

    @property
    def runner(self) -> str:
        """What compiles or watches at run time; empty for nothing of the kind."""
        return runner(self.words)


def runner(words: Sequence[str]) -> str:
    """The development runner that a command is; empty where it is none."""
    if not words:
        return ""
    program = posixpath.basename(words[0])
    if program in _RUNNERS:
        return program
    if (program, words[1] if len(words) > 1 else "") in _DEV_CALLS:
        return f"{program} {words[1]}"
    if program == "vite" and not any(word in ("build", "preview") for word in words):
        return program
    if program in ("node", "nodejs"):
        return _node_option(words[1:])
    return ""


def _node_option(words: Sequence[str]) -> str:
    """Of node's own options: what follows the script is the app's."""
    takes_value = False
    for word in words:
        if takes_value or word.startswith(("--import=", "--require=", "--loader=", "--experimental-loader=")):
            value = word.partition("=")[2] or word
            if value.startswith(_COMPILING):
                return f"node with {value}"
            takes_value = False
        elif word in ("-r", "--require", "--import", "--loader", "--experimental-loader"):
            takes_value = True
        elif word == "--watch" or word.startswith("--watch-path"):
            return "node --watch"
        elif not word.startswith("-"):
            # node node_modules/.bin/nodemon, node node_modules/tsx/dist/cli.mjs
            parts = word.rpartition("node_modules/")[2].removeprefix(".bin/").split("/")
            return parts[0] if "node_modules/" in word and parts[0] in _RUNNERS else ""
    return ""


def read(
    entrypoint: Command | None,
    cmd: Command | None,
    environment: Mapping[str, str],
    script_text: Callable[[str], str | None],
) -> Start:
    """What an ENTRYPOINT and a CMD start.

    Args:
        entrypoint: None for none.
        cmd: the same.
        environment: ENV of the image and what the deployment sets.
        script_text: a script's text by the name it is started by; None where it is not among the files.
    """
    words: list[str] = []
    for command in (entrypoint, cmd):
        if command is None:
            continue
        words += ["/bin/sh", "-c", command.words[0]] if command.is_shell and command.words else command.words
        if command.is_shell and command is entrypoint:
            break  # CMD would be arguments of the shell's
    return _Peeler(environment, script_text).peel(words)


class _Peeler:
    """Takes layer after layer off a command."""

    def __init__(self, environment: Mapping[str, str], script_text: Callable[[str], str | None]) -> None:
        self._environment, self._script_text = environment, script_text
        self._start = Start()

    def peel(self, words: Sequence[str]) -> Start:
        left: Sequence[str] | None = words
        # More layers than this are a circle of scripts.
        for _ in range(20):
            if not left:
                break
            self._start = self._start._replace(words=tuple(left))
            left = self._step(list(left))
        else:
            left = ()
        if left is not None:
            self._start = self._start._replace(words=())
        return self._start

    def _step(self, words: list[str]) -> Sequence[str] | None:
        """What is left after one layer; None where there is no layer any more."""
        program = posixpath.basename(words[0])
        if program == "pyinit":
            return self._pyinit(words)
        if program in _INITS or words[0] == "/init":
            self._start = self._start._replace(inits=(*self._start.inits, program))
            return _after_options(words[1:], _INIT_VALUES)
        if program in SHELLS:
            return self._shell(words)
        if program in _USER_CHANGERS and len(words) > 2:
            self._start = self._start._replace(changes_user=True)
            return words[2:]
        if program == "setpriv":
            self._start = self._start._replace(changes_user=True)
            return _after_options(words[1:], _SETPRIV_VALUES)
        if program in ("env", "cross-env"):
            return self._env(words[1:])
        if program in _WRAPPERS and "--" in words:
            return words[words.index("--") + 1 :]
        return self._script(words)

    def _pyinit(self, words: list[str]) -> Sequence[str]:
        environment = {name: text for name, text in self._environment.items() if "$" not in text}
        for word in words:  # --listen env:NAME: which port that is, is the platform's to say
            _, is_named, name = word.rpartition("env:")
            if is_named:
                environment.setdefault(name, "8080")
        self._start = self._start._replace(inits=(*self._start.inits, "pyinit"))
        try:
            settings = load(words, environment)
        except PyinitError as problem:
            self._start = self._start._replace(problem=str(problem))
            return ()
        except Shown:
            return ()
        self._start = self._start._replace(settings=settings)
        return [word.decode("utf-8", "surrogateescape") for word in settings.command]

    def _env(self, words: list[str]) -> Sequence[str]:
        while words and (words[0].startswith("-") or "=" in words[0]):
            name, equals, value = words.pop(0).partition("=")
            if equals:
                self._start = self._start._replace(environment=(*self._start.environment, (name, value)))
        return words

    def _shell(self, words: list[str]) -> Sequence[str] | None:
        at = 1
        while at < len(words) and words[at].startswith("-"):
            if not words[at].startswith("--") and "c" in words[at] and at + 1 < len(words):
                return self._line(words[at + 1])
            at += 1
        return self._script(words[at:]) if at < len(words) else None

    def _line(self, text: str) -> Sequence[str]:
        simple = shell.commands(text)
        if not simple:
            return ()
        last = simple[-1]
        if not last.is_exec and not self._start.shell:
            self._start = self._start._replace(shell=text)
        self._start = self._start._replace(environment=(*self._start.environment, *last.assignments.items()))
        return last.words

    def _script(self, words: list[str]) -> Sequence[str] | None:
        program = posixpath.basename(words[0])
        text = self._script_text(words[0])
        if text is None:
            return words[1:] if program == _NODES_SCRIPT and len(words) > 1 else None
        is_shells = text.startswith("#!") and "node" not in text.partition("\n")[0]
        if not is_shells and not program.endswith(".sh"):
            return None  # a program of Node's
        if _SCRIPT_CHANGES_USER.search(text):
            self._start = self._start._replace(changes_user=True)
        if (init := _SCRIPT_HAS_INIT.search(text)) is not None and init[1] not in self._start.inits:
            self._start = self._start._replace(inits=(*self._start.inits, init[1]))
        execs = shell.exec_lines(text)
        if not execs or _ends_in_child(text):
            self._start = self._start._replace(bad_script=words[0])
            return ()
        last = _ALL_ARGUMENTS.sub('"$@"', execs[-1])
        if '"$@"' not in last:
            return shell.split(last)
        before = shell.split(last.partition('"$@"')[0])
        rest = words[1:]
        return [*before, *rest] if before and not before[0].startswith("$") else rest


def _ends_in_child(script: str) -> bool:
    """Whether its last command is the app without exec: in another branch there may be one."""
    last = next((it for it in reversed(shell.commands(script)) if it.program not in _CLOSING), None)
    return (
        last is not None
        and not last.is_exec
        and last.program in TOOLS | MANAGERS | _RUNNERS | {"node", "nodejs"}
    )


def _after_options(words: list[str], with_value: frozenset[str]) -> Sequence[str]:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        if words[at] == "--":
            return words[at + 1 :]
        at += 2 if words[at] in with_value else 1
    return words[at:]
