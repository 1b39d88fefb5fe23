"""Settings: what a run is to be, from flags, then PYINIT_* variables, then defaults.

Every error is one line that names the option, the value and what is accepted, and comes before a child exists.
"""

from __future__ import annotations

import os

from pyinit import options, values
from pyinit.errors import SettingsError, Shown
from pyinit.init import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyinit.options import Option
    from pyinit.values import Address, Network

# design: what Kubernetes makes of a Service that is named pyinit (PYINIT_PORT_80_TCP); no options of ours.
_SERVICE_PREFIXES = (
    "PYINIT_SERVICE_HOST",
    "PYINIT_SERVICE_PORT",
    *(f"PYINIT_PORT_{digit}" for digit in range(10)),
)

# -vv: from here on tini tells each signal and each process reaped.
_DEBUG_VERBOSITY = 3
# Compose files and task definitions make variables that are there and empty: not given, but where that is a value.
_EMPTY_MEANS = frozenset(("port-env",))
# Options without a meaning where there is no proxy, but for those that tune one.
_ABOUT_PROXY = (
    "upstream",
    "ready-path",
    "start-required",
    "child-timeout",
    "drain-notify",
    "control",
    "admin",
    "health-path",
)
# Options that are about the app as a child of ours. --start-required is not: in sidecar mode it is we who end.
_ABOUT_CHILD = ("wait-all", "exec-npm", "rewrite", "expect-exit", "port-env", "child-timeout", "drain-notify")

# Node's default of --max-http-header-size, which counts the target, names and values of a request.
NODE_HEAD_MAX_BYTES = 16 * 1024

# Loopback, private, link-local and shared address space: RFC 1122, 1918, 3927, 4193, 4291, 6598.
PRIVATE_NETWORKS = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)


class Settings:
    """One run's settings; the class attributes are the defaults.

    Durations are seconds (``_s``), sizes are bytes. None means "by platform", "computed" or "unlimited", as the
    option's help says.

    Attributes:
        given: names of long options, by a flag or a variable.
        flags: options as they stand on the command line.
    """

    # tini's
    subreaper: bool = False
    parent_death_signal: int = 0
    verbosity: int = 1
    warn_on_reap: bool = False
    kill_process_group: bool = False
    # init
    stop_timeout_s: float | None = None
    drain_delay_s: float | None = None
    wait_all: bool = False
    exec_npm: bool = False
    rewrites: list[tuple[int, int]]
    expect_exits: list[int]
    # front
    listen_texts: list[str]
    listens: list[Address]
    upstream: Address | None = None
    port_env: str = "PORT"
    ready_path: str | None = None
    ready_interval_s: float = 5.0
    start_timeout_s: float = 60.0
    start_required: bool = False
    stop_signals: list[int]
    workers: int | None = 1
    # proxy
    forwarded: str = "auto"
    trust: list[Network]
    proxy_protocol: bool = False
    via: str = "pyinit"
    request_id: bool = False
    pool: str = "lifo"
    # So nothing that reached the app is refused here.
    head_max_bytes: int = NODE_HEAD_MAX_BYTES
    # Node's server.maxHeadersCount.
    fields_max: int = 2000
    head_timeout_s: float = 15.0
    idle_timeout_s: float | None = None
    body_timeout_s: float = 60.0
    write_timeout_s: float = 60.0
    body_max_bytes: int | None = None
    connect_timeout_s: float = 5.0
    response_timeout_s: float | None = None
    max_connections: int | None = None
    buffer_memory_bytes: int | None = None
    # drain
    platform: str = "auto"
    child_timeout_s: float | None = None
    drain_notify: int = 0
    idle_grace_s: float = 1.0
    close_spread_s: float | None = None
    stream_grace_s: float | None = 0.0
    drain_exit_code: int | None = None
    # operator
    control: Address | None
    admin: Address | None = None
    health_path: str | None = None
    # log
    log_format: str = "auto"
    log_level: str = "info"
    access_log: bool = False
    log_query: bool = False

    def __init__(self) -> None:
        self.rewrites = []
        self.expect_exits = []
        self.listen_texts = []
        self.listens = []
        self.stop_signals = []
        self.trust = []
        self.control = values.Address(path="@pyinit")
        self.command: list[bytes] = []
        self.front_off = False
        self.given: set[str] = set()
        self.flags: list[str] = []
        self.warnings: list[str] = []

    @property
    def is_front(self) -> bool:
        """Whether a proxy runs at all: front or sidecar mode."""
        return bool(self.listens) and not self.front_off

    @property
    def app_head_max_bytes(self) -> int:
        """Where the app refuses a head. A limit that was given lies above Node's own to match an app's, else below."""
        given = "head-max" in self.given
        return max(self.head_max_bytes, NODE_HEAD_MAX_BYTES) if given else self.head_max_bytes

    @property
    def may_run_scripts(self) -> bool:
        """Whether the command can be npm's, yarn's or pnpm's, itself or in a shell: else init.npm need not load."""
        return any(b"npm" in word or b"yarn" in word for word in self.command[:3])

    def __repr__(self) -> str:
        given = ", ".join(
            f"{name}={getattr(self, options.ALL[name].attribute)!r}" for name in sorted(self.given)
        )
        return f"Settings({given})"


def load(argv: list[str], environment: Mapping[str, str]) -> Settings:
    """Settings from a command line and an environment.

    Args:
        argv: with the program's name first; surrogateescape for what is not UTF-8.
        environment: as os.environ.

    Raises:
        SettingsError: the line for the user.
        Shown: -h, -l or --version.
    """
    settings = Settings()
    env = dict(environment)
    words = _take_flags(settings, argv[1:])
    _take_variables(settings, env)
    # Back with the encoding they were decoded with: in a Latin-1 locale that is not UTF-8.
    settings.command = [os.fsencode(word) for word in words]
    _resolve_addresses(settings, env)
    if settings.listens and "trust" not in settings.given:
        settings.trust = [values.Network(text) for text in PRIVATE_NETWORKS]
    if settings.verbosity >= _DEBUG_VERBOSITY and "log-level" not in settings.given:
        settings.log_level = "debug"
    if not settings.given & {"head-max"}:
        node_options = env.get("NODE_OPTIONS", "")
        settings.head_max_bytes = node_head_max(settings.command, node_options, settings.head_max_bytes)
    _check(settings)
    return settings


def node_head_max(command: list[bytes], node_options: str, otherwise: int) -> int:
    """Node's own limit where the command or NODE_OPTIONS sets one, or heads that it accepts would be refused."""
    found = otherwise
    # One text, so that it is found in the one word of a CMD in shell form too, and as NODE_OPTIONS=... before it.
    # Quotes mean nothing within: NODE_OPTIONS may have them around a word or a value.
    text = " ".join([node_options, *map(os.fsdecode, command)]).replace('"', "").replace("'", "")
    for rest in text.replace("_", "-").split("--max-http-header-size")[1:]:
        value = rest[1:].split(maxsplit=1)[:1] if rest[:1] in ("=", " ") else []
        digits = value[0] if value else ""
        if digits.isascii() and digits.isdigit() and len(digits) <= 18 and int(digits):
            found = int(digits)
    return found


def _take_flags(settings: Settings, words: list[str]) -> list[str]:
    """Read options up to the command; return the command's words."""
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            return words[at:]
        if word.startswith("--"):
            name, equals, text = word[2:].partition("=")
            if name in ("help", "version"):
                raise Shown(options.help_text() if name == "help" else _version())
            option = options.ALL.get(name)
            if option is None:
                raise SettingsError(f"--{name}: no such option{_nearest(name, options.ALL)}")
            settings.flags.append(f"--{name}")
            if option.parse is None:
                if equals:
                    raise SettingsError(f"--{name} takes no value")
                _store(settings, option, value=True)
                continue
            if not equals:
                if at == len(words):
                    raise SettingsError(f"--{name} needs a value: {option.metavar}, {option.text}")
                text, at = words[at], at + 1
            _store(settings, option, _parsed(option, text, f"--{name}"))
        elif word.startswith("-") and word != "-":
            at = _take_short(settings, word, words, at)
        else:
            return words[at - 1 :]
    return []


def _take_short(settings: Settings, word: str, words: list[str], at: int) -> int:
    """Read one word of tini's short options, as getopt does: -gvv, -e1, -e 1."""
    rest = word[1:]
    while rest:
        letter, rest = rest[0], rest[1:]
        settings.flags.append(f"-{letter}")
        if letter in "pe":
            if not rest:
                if at == len(words):
                    raise SettingsError(f"-{letter} needs a value")
                rest, at = words[at], at + 1
            text, rest = rest, ""
            if letter == "e":
                settings.expect_exits.append(_parsed_exit(text))
            else:
                number = signals.number(text)
                if number is None:
                    raise SettingsError(f"-p {text!r}: a signal by name or number")
                settings.parent_death_signal = number
        elif letter == "h":
            raise Shown(options.help_text())
        elif letter == "l":
            raise Shown("pyinit is free software under the MIT licence; see the LICENSE file.\n")
        elif letter == "s":
            settings.subreaper = True
        elif letter == "v":
            settings.verbosity += 1
        elif letter == "w":
            settings.warn_on_reap = True
        elif letter == "g":
            settings.kill_process_group = True
        else:
            raise SettingsError(f"-{letter}: no such option; -h lists them")
    return at


def _take_variables(settings: Settings, env: dict[str, str]) -> None:
    """Fill what no flag gave from PYINIT_* and TINI_*."""
    known = {option.variable: option for option in options.ALL.values()}
    for variable in sorted(env):
        if not variable.startswith("PYINIT_"):
            continue
        text = env[variable]
        option = known.get(variable)
        if variable == "PYINIT_FRONT":
            settings.front_off = text in ("off", "0", "false", "no")
            if not settings.front_off and text not in ("on", "1", "true", "yes", ""):
                raise SettingsError(f"PYINIT_FRONT={text!r}: on or off")
        elif option is None:
            if variable != "PYINIT_PORT" and not variable.startswith(_SERVICE_PREFIXES):
                settings.warnings.append(
                    f"{variable}: no such option{_nearest(variable, [*known, 'PYINIT_FRONT'])}"
                )
        elif option.name not in settings.given and (text or option.name in _EMPTY_MEANS):
            texts = [part.strip() for part in text.split(",")] if option.repeats else [text]
            for part in filter(None, texts) if option.repeats else texts:
                value = _parsed(option, part, f"{variable}=")
                if option.parse is not None or value:
                    _store(settings, option, value)
    if "TINI_SUBREAPER" in env:
        settings.subreaper = True
    if "TINI_KILL_PROCESS_GROUP" in env:
        settings.kill_process_group = True
    if "TINI_VERBOSITY" in env:
        from pyinit.dropin.clib import verbosity  # noqa: PLC0415  rare

        settings.verbosity = verbosity(env["TINI_VERBOSITY"])


def _parsed(option: Option, text: str, where: str) -> object:
    parse = option.parse or values.flag
    try:
        return parse(text)
    except ValueError as problem:
        shown = f"{where}{text!r}" if where.endswith("=") else f"{where} {text!r}"
        raise SettingsError(f"{shown} is not accepted: {problem}") from None


def _parsed_exit(text: str) -> int:
    try:
        return values.exit_code(text)
    except ValueError as problem:
        raise SettingsError(f"-e {text!r} is not accepted: {problem}") from None


def _store(settings: Settings, option: Option, value: object) -> None:
    settings.given.add(option.name)
    if option.repeats:
        getattr(settings, option.attribute).append(value)
    else:
        setattr(settings, option.attribute, value)


def _resolve_addresses(settings: Settings, env: dict[str, str]) -> None:
    for text in settings.listen_texts:
        try:
            settings.listens.append(values.listen_address(text, env))
        except ValueError as problem:
            raise SettingsError(f"--listen {text!r} is not accepted: {problem}") from None


def _check(settings: Settings) -> None:
    """Combinations that cannot work, each refused with what to do instead."""
    if not settings.listens:
        needs = "needs --listen ADDR: without it there is no proxy"
        _check_meaning(settings, _ABOUT_PROXY, [], needs)
        if not settings.command:
            raise SettingsError("no command: pyinit [options] [--] CMD [ARG...]; -h lists the options")
        return
    if not settings.command:
        if settings.front_off:
            raise SettingsError("PYINIT_FRONT=off and no command: nothing would run")
        if settings.upstream is None:
            raise SettingsError("no command and no --upstream ADDR: there is no app to stand in front of")
        about_nobody = "is about an app that pyinit starts, and there is no command"
        _check_meaning(settings, _ABOUT_CHILD, ["-e", "-g", "-w"], about_nobody)
    if settings.command and settings.upstream is None and not settings.port_env:
        raise SettingsError("--port-env is empty and --upstream is auto: nobody would tell the app its port")
    for listen in settings.listens:
        if _same_place(listen, settings.upstream):
            raise SettingsError(
                f"--listen {listen} and --upstream {settings.upstream} are the same port: the app needs one of its"
                " own, as --upstream auto gives it"
            )
    if settings.front_off:
        _check_front_off(settings)
    elif settings.proxy_protocol and not any(_reads_proxy_header(settings, it) for it in settings.listens):
        settings.warnings.append(
            "--proxy-protocol changes nothing: a header is read from peers inside --trust, and not on tcp: listeners"
        )
    if settings.health_path is not None and all(listen.raw for listen in settings.listens):
        settings.warnings.append(
            "--health-path changes nothing: tcp: listeners relay bytes, and read no path"
        )


def _reads_proxy_header(settings: Settings, listen: Address) -> bool:
    return not listen.raw and (listen.path is not None or bool(settings.trust))


def _check_meaning(settings: Settings, names: tuple[str, ...], letters: list[str], reason: str) -> None:
    """Options that mean nothing in this mode.

    A flag is this container's own and a slip: refused. A variable may stand in a task definition or an env_file for
    all containers alike, where it has its meaning in the others: a warning.
    """
    without_meaning = [f"--{name}" for name in names] + letters
    for flag in settings.flags:
        if flag in without_meaning:
            raise SettingsError(f"{flag} {reason}")
    settings.warnings += [
        f"{options.ALL[name].variable} {reason}" for name in names if name in settings.given
    ]


def _same_place(listen: Address, upstream: Address | None) -> bool:
    if upstream is None:
        return False
    if listen.path is not None or upstream.path is not None:
        return listen.path == upstream.path
    local = (None, "127.0.0.1", "::1", "localhost", "0.0.0.0", "::")
    same_host = listen.host == upstream.host or (listen.host in local and upstream.host in local)
    return listen.port == upstream.port != 0 and same_host


def _check_front_off(settings: Settings) -> None:
    """The app gets the public port itself; where it cannot, say so before it starts."""
    public = settings.listens[0]
    if public.port is None:
        raise SettingsError(
            f"PYINIT_FRONT=off: the app cannot be told to listen on {public}; it takes a port"
        )
    if public.port == 0:
        raise SettingsError("PYINIT_FRONT=off: the app cannot be given port 0; name the public port")
    if len(settings.listens) > 1:
        others = ", ".join(str(listen) for listen in settings.listens[1:])
        settings.warnings.append(
            f"PYINIT_FRONT=off: the app gets {public} alone; nothing listens on {others}"
        )
    upstream = settings.upstream
    if upstream is not None and upstream.port != public.port:
        raise SettingsError(
            f"PYINIT_FRONT=off: the app listens on its own address ({upstream}), so nothing would listen on"
            f" {public}; use --upstream auto, or take --listen out"
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    """Which option was meant, as the end of an error; where none is near, how to list them."""
    import difflib  # noqa: PLC0415  for an error alone: it costs more than the rest of the start

    prefix = "PYINIT_" if name.startswith("PYINIT_") else ""  # in all of them: it would make any two near
    bare = [one.removeprefix(prefix) for one in known]
    found = difflib.get_close_matches(name.removeprefix(prefix), bare, 1)
    if not found:
        return "; -h lists them"
    return f"; the nearest is {prefix or '--'}{found[0]}"


def _version() -> str:
    from pyinit import __version__  # noqa: PLC0415  used once, by --version
    from pyinit.form import form  # noqa: PLC0415  the same

    return f"pyinit {__version__} ({form()})\n"
