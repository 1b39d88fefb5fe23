"""Settings: flags over variables over defaults, and errors that name the option, the value and the mend."""

from __future__ import annotations

import pytest

from pyinit import options
from pyinit.errors import SettingsError, Shown
from pyinit.settings import Settings, load
from pyinit.values import Address


def loaded(*words: str, **environment: str) -> Settings:
    return load(["pyinit", *words], environment)


def refusal(*words: str, **environment: str) -> str:
    with pytest.raises(SettingsError) as problem:
        loaded(*words, **environment)
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_defaults() -> None:
    settings = loaded("true")
    assert settings.command == [b"true"]
    assert not settings.is_front
    assert (settings.verbosity, settings.stop_timeout_s, settings.drain_delay_s) == (1, None, None)
    assert (settings.subreaper, settings.kill_process_group, settings.warn_on_reap) == (False, False, False)
    assert settings.warnings == []
    assert repr(settings) == "Settings()"


def test_a_run_does_not_change_the_next_ones_defaults() -> None:
    loaded("--rewrite", "1:2", "-e", "3", "--listen", "80", "--trust", "none", "true")
    settings = loaded("true")
    assert (settings.rewrites, settings.expect_exits, settings.listens) == ([], [], [])


def test_the_flag_wins_over_the_variable_over_the_default() -> None:
    assert loaded("true", PYINIT_STOP_TIMEOUT="5").stop_timeout_s == 5
    assert loaded("--stop-timeout", "7", "true", PYINIT_STOP_TIMEOUT="5").stop_timeout_s == 7
    assert loaded("--stop-timeout=7", "--stop-timeout=8", "true").stop_timeout_s == 8


def test_repeatable_options_add_up_and_a_variable_holds_several() -> None:
    assert loaded("--rewrite", "1:2", "--rewrite", "3:0", "true").rewrites == [(1, 2), (3, 0)]
    assert loaded("true", PYINIT_REWRITE="1:2, 3:0").rewrites == [(1, 2), (3, 0)]
    assert loaded("--rewrite", "1:2", "true", PYINIT_REWRITE="3:0").rewrites == [(1, 2)]
    assert loaded("-e1", "-e", "2", "--expect-exit", "3", "true").expect_exits == [1, 2, 3]


def test_a_switch() -> None:
    assert loaded("--listen", "80", "--access-log", "true").access_log
    assert loaded("--listen", "80", "true", PYINIT_ACCESS_LOG="1").access_log
    assert not loaded("--listen", "80", "true", PYINIT_ACCESS_LOG="off").access_log
    assert loaded("--listen", "80", "--access-log", "true", PYINIT_ACCESS_LOG="off").access_log
    assert refusal("--access-log=1", "true") == "--access-log takes no value"
    assert "PYINIT_ACCESS_LOG='maybe'" in refusal("true", PYINIT_ACCESS_LOG="maybe")


def test_short_options_are_read_as_getopt_does() -> None:
    settings = loaded("-sgvvw", "-p", "SIGTERM", "-e1", "true")
    assert (settings.subreaper, settings.kill_process_group, settings.warn_on_reap) == (True, True, True)
    assert (settings.verbosity, settings.parent_death_signal, settings.expect_exits) == (3, 15, [1])
    assert loaded("-vp9", "true").parent_death_signal == 9
    assert loaded("-", "x").command == [b"-", b"x"]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["a", "-s", "--listen"], [b"a", b"-s", b"--listen"]),
        (["--", "-s"], [b"-s"]),
        (["--", "--", "a"], [b"--", b"a"]),
        (["-s", "a"], [b"a"]),
        (["\udcff", "é", ""], [b"\xff", "é".encode(), b""]),
    ],
)
def test_options_end_at_the_command(words: list[str], command: list[bytes]) -> None:
    assert loaded(*words).command == command


@pytest.mark.parametrize(
    "words", [["-h"], ["--help"], ["-l"], ["--version"], ["-sh", "true"], ["-h", "--wrong"]]
)
def test_a_text_that_was_asked_for(words: list[str]) -> None:
    with pytest.raises(Shown, match=r"^(Usage: )?pyinit "):
        loaded(*words)


def test_tini_variables() -> None:
    settings = loaded("true", TINI_SUBREAPER="", TINI_KILL_PROCESS_GROUP="0", TINI_VERBOSITY="3")
    assert (settings.subreaper, settings.kill_process_group, settings.verbosity) == (True, True, 3)
    assert loaded("-vvv", "true", TINI_VERBOSITY="0").verbosity == 0  # read after the options, as tini does


def test_unknown_variables_are_warned_about_but_for_those_of_kubernetes() -> None:
    settings = loaded(
        "true",
        PYINIT_STOP_TIMOUT="1",
        PYINIT_PORT_EVN="X",
        PYINIT_SERVICE_HOST="10.0.0.1",
        PYINIT_SERVICE_PORT_HTTP="80",
        PYINIT_PORT="tcp://10.0.0.1:80",
        PYINIT_PORT_80_TCP_ADDR="10.0.0.1",
    )
    assert settings.warnings == [
        "PYINIT_PORT_EVN: no such option; the nearest is PYINIT_PORT_ENV",
        "PYINIT_STOP_TIMOUT: no such option; the nearest is PYINIT_STOP_TIMEOUT",
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "no command: pyinit [options] [--] CMD [ARG...]; -h lists the options"),
        (["--lisen", "80"], "--lisen: no such option; the nearest is --listen"),
        (["--zzz"], "--zzz: no such option; -h lists them"),
        (["-z"], "-z: no such option; -h lists them"),
        (["-e"], "-e needs a value"),
        (["-p", "X", "true"], "-p 'X': a signal by name or number"),
        (["-e", "x", "true"], "-e 'x' is not accepted: an exit code of 0 to 255"),
        (["--stop-timeout", "0", "true"],
         "--stop-timeout '0' is not accepted: more than 0 seconds, as 10, 1.5, 500ms or 2m"),
        (["--upstream", "80", "true"], "--upstream needs --listen ADDR: without it there is no proxy"),
        (["--listen", "x", "true"],
         "--listen 'x' is not accepted: PORT, HOST:PORT, [V6]:PORT, unix:/path or env:NAME (a port is 0 to 65535)"),
        (["--listen", "80"], "no command and no --upstream ADDR: there is no app to stand in front of"),
        (["--pool", "random", "true"], "--pool 'random' is not accepted: lifo or fifo"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_line_with_the_mend(words: list[str], line: str) -> None:
    assert refusal(*words) == line


def test_a_bad_variable_is_named_as_one() -> None:
    text = "PYINIT_DRAIN_DELAY='x' is not accepted: seconds, as 10, 1.5, 500ms or 2m"
    assert refusal("true", PYINIT_DRAIN_DELAY="x") == text
    assert refusal("true", PYINIT_FRONT="maybe") == "PYINIT_FRONT='maybe': on or off"


def test_addresses() -> None:
    settings = loaded("--listen", "80", "--listen", "tcp:env:OTHER", "--upstream", "3000", "true", OTHER="81")
    assert settings.listens == [Address(port=80), Address(port=81, raw=True)]
    assert settings.upstream == Address(port=3000)
    assert settings.is_front
    assert loaded("--listen", "80", "--upstream", "other:80").command == []  # a sidecar


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [
        ("80", "80"),
        ("80", "127.0.0.1:80"),
        ("0.0.0.0:80", "localhost:80"),
        ("[::1]:80", "80"),
        ("unix:/s", "unix:/s"),
    ],
)
def test_one_place_for_both_sides_is_refused(listen: str, upstream: str) -> None:
    assert "are the same port" in refusal("--listen", listen, "--upstream", upstream, "true")


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [("80", "81"), ("80", "other:80"), ("unix:/s", "unix:/t"), ("80", "unix:/s"), ("0", "auto")],
)
def test_two_places_are_not(listen: str, upstream: str) -> None:
    assert loaded("--listen", listen, "--upstream", upstream, "true").is_front


def test_the_front_off() -> None:
    assert not loaded("--listen", "80", "true", PYINIT_FRONT="off").is_front
    assert loaded("--listen", "80", "true", PYINIT_FRONT="on").is_front
    assert "its own address (3000)" in refusal(
        "--listen", "80", "--upstream", "3000", "true", PYINIT_FRONT="off"
    )
    assert "it takes a port" in refusal("--listen", "unix:/s", "true", PYINIT_FRONT="off")
    assert "nothing would run" in refusal("--listen", "80", "--upstream", "81", PYINIT_FRONT="off")


def test_nodes_own_limit_for_heads_is_ours_unless_given() -> None:
    assert loaded("node").head_max_bytes == 16384
    assert loaded("node", "--max-http-header-size=32768", "a.js").head_max_bytes == 32768
    assert loaded("node", "--max_http_header_size", "9000", "a.js").head_max_bytes == 9000
    assert loaded("node", NODE_OPTIONS="--max-http-header-size=9000").head_max_bytes == 9000
    assert loaded("node", NODE_OPTIONS='-r "a b" "--max-http-header-size=9000"').head_max_bytes == 9000
    assert loaded("node", NODE_OPTIONS='--max-http-header-size="9000"').head_max_bytes == 9000
    assert loaded("/bin/sh", "-c", "exec node --max-http-header-size=9000 a.js").head_max_bytes == 9000
    assert loaded("env", "NODE_OPTIONS=--max-http-header-size=9000", "node").head_max_bytes == 9000
    assert (
        loaded(
            "node", "--max-http-header-size=9000", NODE_OPTIONS="--max-http-header-size=8000"
        ).head_max_bytes
        == 9000
    )
    assert loaded("--head-max", "1K", "node", "--max-http-header-size=9000").head_max_bytes == 1024
    for no_size in ("0", "x", "", "²", "9" * 5000):
        assert loaded("node", f"--max-http-header-size={no_size}").head_max_bytes == 16384


def test_the_apps_limit_for_heads_is_taken_to_be_ours_but_for_a_tighter_one_that_was_given() -> None:
    assert loaded("node", "--max-http-header-size=9000").app_head_max_bytes == 9000
    assert loaded("--head-max", "64K", "node").app_head_max_bytes == 65536
    assert loaded("--head-max", "1K", "node").app_head_max_bytes == 16384


def test_trust_is_for_private_networks_unless_given() -> None:
    front = ("--listen", "80", "true")
    assert "10.0.0.0/8" in [network.text for network in loaded(*front).trust]
    assert loaded("--trust", "none", *front).trust == []
    assert [network.text for network in loaded("--trust", "1.2.3.4", *front).trust] == ["1.2.3.4"]


@pytest.mark.parametrize(
    ("arguments", "is_warned"),
    [
        (("--listen", "80"), False),
        (("--listen", "tcp:80"), True),
        (("--listen", "80", "--trust", "none"), True),
        (("--listen", "tcp:80", "--listen", "81"), False),
        (("--listen", "unix:/s", "--trust", "none"), False),
        (("--listen", "tcp:80", "--listen", "81", "--trust", "none"), True),
    ],
)
def test_where_nobodys_proxy_header_would_be_read_a_warning_says_so(
    arguments: tuple[str, ...],
    is_warned: bool,  # noqa: FBT001  pytest fills it in
) -> None:
    assert loaded("--proxy-protocol", *arguments, "true").proxy_protocol
    assert bool(loaded("--proxy-protocol", *arguments, "true").warnings) == is_warned
    assert not loaded(*arguments, "true").warnings


@pytest.mark.parametrize("name", options.ALL)
def test_every_option_has_an_attribute_and_its_variable_is_known(name: str) -> None:
    option = options.ALL[name]
    assert hasattr(Settings(), option.attribute)
    settings = Settings()
    settings.given.add(name)
    assert repr(settings).startswith(f"Settings({name}=")


@pytest.mark.parametrize(
    "flags",
    [
        ("--wait-all",),
        ("--exec-npm",),
        ("--rewrite", "TERM:QUIT"),
        ("--expect-exit", "3"),
        ("--port-env", "P"),
        ("--child-timeout", "3"),
        ("--drain-notify", "USR1"),
        ("-e", "3"),
        ("-g",),
        ("-w",),
    ],
    ids=" ".join,
)
def test_a_flag_about_a_child_is_refused_where_there_is_none(flags: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded("--listen", "80", "--upstream", "81", *flags)
    assert str(caught.value) == (f"{flags[0]} is about an app that pyinit starts, and there is no command")
    assert loaded("--listen", "80", "--upstream", "81", *flags, "--", "true").warnings == []


def test_a_variable_about_a_child_may_be_set_for_all_containers() -> None:
    environment = {"PYINIT_EXEC_NPM": "1", "PYINIT_WAIT_ALL": "1", "TINI_KILL_PROCESS_GROUP": "1"}
    sidecar = load(["pyinit", "--listen", "80", "--upstream", "81"], environment)
    assert sidecar.warnings == [
        "PYINIT_WAIT_ALL is about an app that pyinit starts, and there is no command",
        "PYINIT_EXEC_NPM is about an app that pyinit starts, and there is no command",
    ]
    front = load(["pyinit", "--listen", "80", "true"], environment)
    assert (front.warnings, front.exec_npm) == ([], True)


@pytest.mark.parametrize(
    ("words", "may"),
    [
        (("npm", "start"), True),
        (("/x/pnpm", "start"), True),
        (("yarnpkg", "start"), True),
        (("sh", "-c", "npm start"), True),
        (("node", "/x/npm-cli.js", "start"), True),
        (("node", "server.js"), False),
        (("node", "server.js", "--with", "npm"), False),
    ],
)
def test_which_commands_may_run_scripts(words: tuple[str, ...], *, may: bool) -> None:
    assert loaded("--", *words).may_run_scripts is may


def test_a_variable_about_the_proxy_may_be_set_for_an_init_too() -> None:
    """As one environment for all containers of a task does; as a flag it is a slip."""
    settings = load(["pyinit", "true"], {"PYINIT_CHILD_TIMEOUT": "3", "PYINIT_UPSTREAM": "3000"})
    assert settings.warnings == [
        "PYINIT_UPSTREAM needs --listen ADDR: without it there is no proxy",
        "PYINIT_CHILD_TIMEOUT needs --listen ADDR: without it there is no proxy",
    ]


@pytest.mark.parametrize(
    "variables",
    [
        {"PYINIT_LISTEN": "", "PYINIT_STOP_TIMEOUT": "", "PYINIT_REWRITE": "", "PYINIT_WAIT_ALL": ""},
        {"PYINIT_EXPECT_EXIT": "", "PYINIT_FRONT": "", "PYINIT_TRUST": ""},
    ],
)
def test_an_empty_variable_is_one_that_is_not_given(variables: dict[str, str]) -> None:
    """Compose files and task definitions make such: VAR=${VAR:-}."""
    settings = load(["pyinit", "true"], variables)
    assert (settings.given, settings.warnings) == (set(), [])


def test_an_empty_part_of_a_list_is_none() -> None:
    assert load(["pyinit", "true"], {"PYINIT_EXPECT_EXIT": "3,,4,"}).expect_exits == [3, 4]


@pytest.mark.parametrize(
    ("text", "verbosity"), [("3x", 3), ("-1", 4), ("", 0), ("x", 0), ("3_0", 3), (" 2", 2)]
)
def test_tinis_verbosity_is_read_as_tini_reads_it(text: str, verbosity: int) -> None:
    assert load(["pyinit", "true"], {"TINI_VERBOSITY": text}).verbosity == verbosity


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("PYINIT_VERBOSITY", "-h lists them"),
        ("PYINIT_", "-h lists them"),
        ("PYINIT_WORKER", "the nearest is PYINIT_WORKERS"),
        ("PYINIT_FRONTS", "the nearest is PYINIT_FRONT"),
    ],
)
def test_what_is_near_is_told_by_more_than_the_prefix(variable: str, hint: str) -> None:
    assert load(["pyinit", "true"], {variable: "1"}).warnings == [f"{variable}: no such option; {hint}"]
