"""The command line as data: every long option, its variable, its value and its line of help.

One table, so that flags, PYINIT_* variables, ``--help`` and the README's table cannot drift apart.
"""

from __future__ import annotations

from pyinit import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Option:
    """One long option.

    Attributes:
        name: without the dashes; the variable is PYINIT_ and this in capitals.
        attribute: of Settings.
        parse: text -> value, ValueError with what is accepted; None for a switch.
        metavar: what stands for the value in help; empty for a switch.
        default: as a person reads it.
        text: one line of help.
        repeats: given again it adds; else the last one counts.
    """

    __slots__ = ("attribute", "default", "metavar", "name", "parse", "repeats", "text")

    def __init__(
        self,
        name: str,
        attribute: str,
        parse: Callable[[str], object] | None,
        metavar: str,
        default: str,
        text: str,
        *,
        repeats: bool = False,
    ) -> None:
        self.name = name
        self.attribute = attribute
        self.parse = parse
        self.metavar = metavar
        self.default = default
        self.text = text
        self.repeats = repeats

    @property
    def variable(self) -> str:
        """The environment variable that means the same."""
        return "PYINIT_" + self.name.upper().replace("-", "_")


def choice(*allowed: str) -> Callable[[str], str]:
    """A parser that accepts these words alone."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(", ".join(allowed[:-1]) + " or " + allowed[-1])
        return text

    return parse


INIT = (
    Option("stop-timeout", "stop_timeout_s", values.positive_seconds, "S", "by platform",
           "the platform's grace period; everything ends half a second before it"),
    Option("drain-delay", "drain_delay_s", values.seconds, "S", "by platform",
           "hold the stop signal back so long, for a load balancer to notice"),
    Option("wait-all", "wait_all", None, "", "off",
           "after the child wait for all it left behind, within --stop-timeout"),
    Option("exec-npm", "exec_npm", None, "", "off",
           "start what npm, yarn or pnpm would run (npm start) without them, where that is one plain command"),
    Option("rewrite", "rewrites", values.rewrite, "A:B", "none",
           "where signal A comes pass B on; 0 drops it; repeatable", repeats=True),
    Option("expect-exit", "expect_exits", values.exit_code, "CODE", "none",
           "exit 0 where the child's code is CODE; repeatable", repeats=True),
)  # fmt: skip

FRONT = (
    Option("listen", "listen_texts", str, "ADDR", "none",
           "the public address: PORT, HOST:PORT, [V6]:PORT, unix:/path, env:NAME; tcp: in front relays"
           " bytes; repeatable", repeats=True),
    Option("upstream", "upstream", values.upstream_address, "ADDR", "auto",
           "where the app listens: PORT, HOST:PORT, unix:/path, or auto: a free port, told in --port-env"),
    Option("port-env", "port_env", values.variable_name, "NAME", "PORT",
           "the variable that tells the app its port; empty for none"),
    Option("ready-path", "ready_path", values.origin_path, "PATH", "none",
           "ready when this answers 2xx or 3xx; else when a connect succeeds"),
    Option("ready-interval", "ready_interval_s", values.positive_seconds, "S", "5",
           "how often --ready-path is asked again (else a connect, once one failed); three failures make not ready"),
    Option("start-timeout", "start_timeout_s", values.positive_seconds, "S", "60",
           "warn from then on, each 10 s, that the app is not ready"),
    Option("start-required", "start_required", None, "", "off",
           "stop the child at --start-timeout and exit 124"),
    Option("stop-signals", "stop_signals", values.signal_numbers, "LIST", "TERM,INT",
           "more signals that begin a stop; all others go to the child"),
    Option("workers", "workers", values.workers, "N", "1",
           "proxy processes; auto follows the cgroup's CPU quota"),
)  # fmt: skip

PROXY = (
    Option("forwarded", "forwarded", choice("auto", "append", "replace", "keep", "off"), "MODE", "auto",
           "X-Forwarded-* and Forwarded: auto passes a trusted peer's and sets what is absent"),
    Option("trust", "trust", values.networks, "CIDR,…", "private",
           "peers whose forwarding fields are believed; none for nobody"),
    Option("proxy-protocol", "proxy_protocol", None, "", "off",
           "connections of trusted peers begin with a PROXY header, v1 or v2; not read on tcp: listeners"),
    Option("via", "via", values.via_name, "NAME", "pyinit",
           "our name in Via on requests; off for none"),
    Option("request-id", "request_id", None, "", "off",
           "add X-Request-Id where absent"),
    Option("pool", "pool", choice("lifo", "fifo"), "ORDER", "lifo",
           "which idle connection to the app goes first; fifo for apps that use cluster"),
    Option("head-max", "head_max_bytes", values.size_bytes, "SIZE", "16K",
           "request line and fields (431; 414 for the target); else Node's --max-http-header-size"),
    Option("fields-max", "fields_max", values.count, "N", "2000",
           "field lines in a request (431)"),
    Option("head-timeout", "head_timeout_s", values.positive_seconds, "S", "15",
           "from a head's first byte to its last (408)"),
    Option("idle-timeout", "idle_timeout_s", values.positive_seconds, "S", "75; 620 on kubernetes, cloudrun",
           "a client's connection between requests"),
    Option("body-timeout", "body_timeout_s", values.positive_seconds, "S", "60",
           "between bytes of a request body (408)"),
    Option("write-timeout", "write_timeout_s", values.positive_seconds, "S", "60",
           "a client that does not read (cut)"),
    Option("body-max", "body_max_bytes", values.unlimited_bytes, "SIZE", "unlimited",
           "a request body (413)"),
    Option("connect-timeout", "connect_timeout_s", values.positive_seconds, "S", "5",
           "a connect to the app (504; refused is 502)"),
    Option("response-timeout", "response_timeout_s", values.unlimited_seconds, "S", "unlimited",
           "from a request's end to its response head (504)"),
    Option("max-connections", "max_connections", values.count, "N", "by RLIMIT_NOFILE",
           "clients at once; at the limit accepting waits"),
    Option("buffer-memory", "buffer_memory_bytes", values.size_bytes, "SIZE", "10 % of the cgroup's, else 64M",
           "all buffers together; at the bound reads pause"),
)  # fmt: skip

DRAIN = (
    Option("platform", "platform", choice("auto", "docker", "ecs", "kubernetes", "cloudrun", "heroku", "fly"),
           "NAME", "auto", "whose grace period and lame duck to assume"),
    Option("child-timeout", "child_timeout_s", values.positive_seconds, "S", "30 % of the budget",
           "kept for the app from its signal to SIGKILL"),
    Option("drain-notify", "drain_notify", values.caught_signal, "SIGNAL", "none",
           "sent to the app when a stop begins, for queue consumers"),
    Option("idle-grace", "idle_grace_s", values.seconds, "S", "1",
           "an idle connection may send one last request so long; 0 closes at once"),
    Option("close-spread", "close_spread_s", values.seconds, "S", "0 on docker; else 20 % of the drain",
           "WebSockets and event streams end one by one over so long, or all clients reconnect at once"),
    Option("stream-grace", "stream_grace_s", values.seconds_or_never, "S", "0",
           "event streams are left alone so long, then ended between two events; -1 never ends them"),
    Option("drain-exit-code", "drain_exit_code", values.exit_code, "N", "none",
           "exit so where an exchange was cut"),
)  # fmt: skip

OPERATOR = (
    Option("control", "control", values.control_address, "ADDR", "@pyinit; off under host networking",
           "the control socket: @NAME, unix:/path, HOST:PORT (to read alone) or off; its health socket beside it"),
    Option("admin", "admin", values.tcp_address, "HOST:PORT", "none",
           "what can be read of the control socket, over TCP too"),
    Option("health-path", "health_path", values.plain_path, "PATH", "none",
           "a GET of this on the public port is answered by pyinit: 200 when ready, else 503"),
)  # fmt: skip

LOG = (
    Option("log-format", "log_format", choice("auto", "json", "console"), "FORM", "auto",
           "JSON lines, or a readable form; auto is console on a terminal"),
    Option("log-level", "log_level", choice("debug", "info", "warning", "error"), "LEVEL", "info",
           "the least that is logged"),
    Option("access-log", "access_log", None, "", "off",
           "one line a request"),
    Option("log-query", "log_query", None, "", "off",
           "query strings in log lines too"),
)  # fmt: skip

SECTIONS = (
    ("Init", INIT),
    ("App and address (with --listen)", FRONT),
    ("Proxy", PROXY),
    ("Drain", DRAIN),
    ("Operator (with --listen)", OPERATOR),
    ("Log (with --listen)", LOG),
)
ALL = {option.name: option for _, section in SECTIONS for option in section}

SHORT_HELP = """\
  -s                 become a child subreaper (TINI_SUBREAPER)
  -p SIGNAL          have the kernel send SIGNAL when our parent ends
  -g                 signals go to the child's process group (TINI_KILL_PROCESS_GROUP)
  -e CODE            as --expect-exit
  -v                 more messages, repeatable (TINI_VERBOSITY)
  -w                 warn for each process reaped that is not the child
  -l                 print the licence
  -h, --help         print this
  --version          print the version"""


def help_text() -> str:
    """The whole of ``--help``."""
    parts = [
        "Usage: pyinit [options] [--] CMD [ARG...]            an init, as tini",
        "       pyinit --listen ADDR [options] [--] CMD...    an init, and a draining proxy in front of CMD",
        "       pyinit --listen ADDR --upstream ADDR          the proxy alone",
        "",
        "Every long option has a variable: --stop-timeout is PYINIT_STOP_TIMEOUT. The flag wins.",
        "PYINIT_FRONT=off switches the proxy off and gives the app the public port.",
        "",
        "As tini:",
        SHORT_HELP,
    ]
    for title, section in SECTIONS:
        parts += ["", f"{title}:"]
        for option in section:
            usage = f"--{option.name} {option.metavar}".rstrip()
            parts.append(f"  {usage:<24} {option.text} [{option.default}]")
    return "\n".join(parts) + "\n"
