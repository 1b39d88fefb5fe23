"""Who may import whom, and who may call what: read from the source, so that a breach fails before it runs.

The arrows point inwards: the core (http1, drain) knows no socket, the init path nothing that is slow to import.
"""

from __future__ import annotations

import ast
import sys
from typing import NamedTuple

import pytest

from tests.support.process import ROOT

PACKAGE = ROOT / "pyinit"


class Rule(NamedTuple):
    """What one module, or all of a package, may import.

    Attributes:
        ours: modules of pyinit, or packages with a dot at the end, at the top of the module.
        lazily: more of them inside functions only.
        stdlib: the only ones allowed; None for all but ``never``.
        never: modules that are not.
        others: third-party packages.
    """

    ours: tuple[str, ...] = ()
    lazily: tuple[str, ...] = ()
    stdlib: frozenset[str] | None = None
    never: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


CORE = frozenset(("re", "enum", "dataclasses", "typing", "collections", "__future__"))
# Each of them costs milliseconds of which the child's exec would wait.
SLOW = frozenset(
    (
        "json",
        "inspect",
        "contextlib",
        "functools",
        "ipaddress",
        "selectors",
        "pathlib",
        "asyncio",
        "dataclasses",
        "socket",
        "signal",
        "logging",
        "enum",
        "argparse",
        "typing",
        "re",
    )
)
INIT = Rule(ours=("errors", "log", "init."), never=SLOW - {"typing"})
BEFORE_EXEC = SLOW - {"typing"}
BEFORE_HEALTH = SLOW | {"http", "struct", "select", "subprocess", "ctypes", "collections", "__future__"}

# The first that fits counts: a module, or a package with a dot at the end.
RULES: dict[str, Rule] = {
    "__init__": Rule(stdlib=frozenset()),
    "__main__": Rule(lazily=("cli", "init.interpreter"), never=BEFORE_EXEC),
    "scripts.pyinit": Rule(ours=("__main__",), never=BEFORE_EXEC | {"os"}),
    "scripts.pyinitctl": Rule(ours=("ctl.main",), never=BEFORE_EXEC | {"os"}),
    "isolated": Rule(ours=("__main__",), never=BEFORE_EXEC),
    "launched": Rule(ours=("__main__", "isolated"), never=BEFORE_EXEC),
    "errors": Rule(stdlib=frozenset()),
    "form": Rule(never=BEFORE_EXEC),
    "log": Rule(never=BEFORE_EXEC),
    "cli": Rule(
        ours=("settings", "init.", "errors", "log"), lazily=("front", "dropin."), never=BEFORE_EXEC | {"_socket",
              "ctypes"}
    ),
    "settings": Rule(
        ours=("options", "values", "errors", "init.signals"), lazily=("__version__", "dropin.clib", "form"),
        never=BEFORE_EXEC
    ),
    "options": Rule(ours=("values",), never=BEFORE_EXEC),
    "values": Rule(ours=("init.signals",), never=BEFORE_EXEC),
    "platform": Rule(never=BEFORE_EXEC),
    "sockets": Rule(ours=("errors", "values"), never=BEFORE_EXEC),
    "front": Rule(
        ours=("settings", "values", "platform", "sockets", "errors", "log", "init.", "drain.budget"),
        lazily=("app", "without_tls"),
        never=BEFORE_EXEC,
    ),
    "limits": Rule(never=frozenset(("asyncio",))),
    "ports": Rule(ours=("proxy.sock_diag",), never=frozenset(("asyncio",))),
    "diagnosis": Rule(ours=("front", "ports", "init.processes"), never=frozenset(("asyncio",))),
    "logbatch": Rule(ours=("log",)),
    "collector": Rule(stdlib=frozenset(("gc",))),
    "accessline": Rule(),
    "jsonlines": Rule(),
    "logsetup": Rule(ours=("accessline", "jsonlines", "log", "logbatch"), others=frozenset(("structlog",))),
    "app": Rule(
        ours=("admin.surface", "oversight",
              "assembly", "collector", "diagnosis", "form", "front", "limits", "logsetup", "ports", "settings",
              "values", "platform", "errors", "logbatch", "log", "init.",
              "drain.", "proxy.", "http1.", "sockets"),
        others=frozenset(("uvloop",)),
    ),
    # What app and worker, its counterpart in a process of its own, both build.
    "assembly": Rule(ours=("front", "limits", "settings", "values", "platform", "errors", "log",
    "init.", "drain.",
                           "proxy.", "http1.")),
    "without_tls": Rule(never=frozenset(("asyncio", "ssl"))),
    "worker_start": Rule(ours=("without_tls",), lazily=("worker",), never=frozenset(("asyncio",))),
    "worker": Rule(ours=("assembly", "collector", "logsetup", "logbatch", "values", "log", "errors", "init.",
    "proxy."), others=frozenset(("uvloop",))),
    "oversight": Rule(ours=("__version__", "form", "admin.state", "drain.", "front", "init.child", "init.signals",
                            "proxy.steering", "logsetup", "log")),
    # Heavy, and loaded when an operator first asks.
    "admin.server": Rule(ours=("admin.", "log"), others=frozenset(("aiohttp",))),
    "admin.metrics": Rule(
        ours=("admin.state", "drain.outcomes", "drain.phases", "drain.tracker", "proxy.stats"),
        others=frozenset(("prometheus_client",)),
    ),
    "admin.surface": Rule(ours=("admin.", "log", "values", "without_tls")),
    "admin.": Rule(ours=("admin.", "errors", "log", "values", "drain.outcomes", "proxy.stats")),
    # A health check starts every few seconds for ever.
    "ctl.main": Rule(ours=("ctl.health",), lazily=("ctl.commands",), never=BEFORE_HEALTH),
    "ctl.health": Rule(ours=("ctl.find", "ctl.problem"), never=BEFORE_HEALTH),
    "ctl.find": Rule(ours=("ctl.problem",), lazily=("values",), never=BEFORE_HEALTH),
    "ctl.problem": Rule(stdlib=frozenset()),
    "ctl.commands": Rule(
        ours=("ctl.", "values", "__version__"), lazily=("check.command",), never=frozenset(("asyncio",))
    ),
    "ctl.": Rule(ours=("ctl.", "values", "__version__"), never=frozenset(("asyncio",))),
    # The libraries of pyinit[check]: for a project's directory, never in an image.
    "check.dockerfile": Rule(ours=("check.images",), others=frozenset(("e2b_dockerfile_utils",))),
    "check.dockerignore": Rule(ours=("check.",), others=frozenset(("e2b_dockerfile_utils",))),
    "check.located": Rule(others=frozenset(("yaml",))),
    "check.schemas": Rule(ours=("check.",), others=frozenset(("jsonschema",))),
    "check.": Rule(ours=("check.", "errors", "platform", "settings", "values", "__version__")),
    "dropin.": Rule(ours=("errors", "log", "init.", "dropin.", "__version__"), never=BEFORE_EXEC),
    "init.child": Rule(ours=INIT.ours),
    "init.": INIT,
    "http1.": Rule(ours=("errors", "http1."), stdlib=CORE),
    "drain.": Rule(ours=("errors", "drain."), stdlib=CORE),
    "proxy.": Rule(ours=("errors", "log", "http1.", "drain.tracker", "drain.outcomes", "proxy.")),
}  # fmt: skip

NEVER_ANYWHERE = frozenset(("subprocess", "multiprocessing", "threading", "concurrent"))

FORKS = frozenset(
    (
        *("fork", "forkpty", "vfork", "system", "popen", "posix_spawn", "posix_spawnp"),
        *(f"exec{how}" for how in ("v", "ve", "vp", "vpe", "l", "le", "lp", "lpe")),
        *(f"spawn{how}" for how in ("v", "ve", "vp", "vpe", "l", "le", "lp", "lpe")),
    )
)
WAITS = frozenset(("waitpid", "waitid", "wait3", "wait4"))
KILLS = frozenset(("kill", "killpg", "pidfd_send_signal"))
# O_NONBLOCK lives on the open file that 0, 1 and 2 share with the child.
NONBLOCKING = frozenset(("set_blocking", "F_SETFL"))
CALLERS = {
    "fork or exec": (FORKS, {"init.spawn"}),
    "wait": (WAITS, {"init.reaper"}),
    "kill": (KILLS, {"init.run", "init.child", "init.processes", "dropin.dumb_init"}),
    "change a shared descriptor's flags": (NONBLOCKING, set()),
}


def name_of(relative: str) -> str:
    """``init.run`` for init/run.py, ``init.__init__`` for init/__init__.py."""
    return relative.removesuffix(".py").replace("/", ".")


def rule_for(module: str) -> Rule:
    if module in RULES:
        return RULES[module]
    if module.endswith(".__init__"):
        return Rule(stdlib=frozenset())  # importing one module of a package must not drag in the others
    package = module.partition(".")[0] + "."
    assert package in RULES, f"{module} is new: say in RULES what it may import"
    return RULES[package]


def breaches(module: str, source: str) -> list[str]:
    """Each import and call in a module that the rules do not allow, as a line for a person."""
    tree = ast.parse(source)
    rule = rule_for(module)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = []
    for node in ast.walk(tree):
        for imported in _imports(node):
            is_lazy, is_for_types = id(node) in inside, id(node) in for_types
            problem = _judged(rule, imported, is_lazy=is_lazy, is_for_types=is_for_types)
            if problem:
                found.append(f"{module}:{getattr(node, 'lineno', 0)} {problem}")
    for what, (names, allowed) in CALLERS.items():
        if module not in allowed:
            found += [f"{module}:{line} may not {what}: {name}" for name, line in _uses(tree, names)]
    return found


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if node.level:
            return ["a relative import"]
        if node.module == "pyinit" or (node.module == "pyinit.init" and _is_package(node)):
            return [f"{node.module}.{alias.name}" for alias in node.names]
        if node.module and node.module.startswith("pyinit.") and _is_package(node):
            return [f"{node.module}.{alias.name}" for alias in node.names]
        return [node.module or ""]
    return []


def _is_package(node: ast.ImportFrom) -> bool:
    return (ROOT / str(node.module).replace(".", "/")).is_dir()


def _judged(rule: Rule, imported: str, *, is_lazy: bool, is_for_types: bool) -> str | None:
    top = imported.partition(".")[0]
    if top == "pyinit":
        ours = imported.removeprefix("pyinit.")
        allowed = (*rule.ours, *(rule.lazily if is_lazy else ()))
        fits = any(ours == one or (one.endswith(".") and ours.startswith(one)) for one in allowed)
        return None if fits else f"may not import {imported}"
    if top in NEVER_ANYWHERE:
        return f"may not import {imported}, as nobody may"
    if top in sys.stdlib_module_names:
        if rule.stdlib is not None:
            return None if top in rule.stdlib else f"may not import {imported}"
        if imported == "asyncio.subprocess":
            return f"may not import {imported}"
        return f"may not import {imported}" if top in rule.never and not (is_lazy or is_for_types) else None
    return None if top in rule.others else f"may not import {imported}"


def _uses(tree: ast.AST, names: frozenset[str]) -> list[tuple[str, int]]:
    """Of functions of os and the C library; a method of ours may be called kill."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            is_kill_of_ours = node.attr in KILLS and ast.unparse(node.value) not in (
                "os",
                "libc",
                "_posixsubprocess",
            )
            if not is_kill_of_ours:
                found.append((node.attr, node.lineno))
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "posix"):
            found += [(alias.name, node.lineno) for alias in node.names if alias.name in names]
    return found


SOURCES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("relative", SOURCES)
def test_a_module_keeps_to_its_layer(relative: str) -> None:
    assert breaches(name_of(relative), (PACKAGE / relative).read_text()) == []


def test_every_rule_is_for_something() -> None:
    modules = {name_of(relative) for relative in SOURCES}
    for rule in RULES:
        assert rule in modules or any(module.startswith(rule) for module in modules if rule.endswith("."))


@pytest.mark.parametrize("package", ["init", "dropin", "http1", "drain", "proxy", "ctl", "check"])
def test_a_package_is_a_docstring(package: str) -> None:
    (node,) = ast.parse((PACKAGE / package / "__init__.py").read_text()).body
    assert isinstance(node, ast.Expr)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("http1.body", "import asyncio"),
        ("http1.body", "import time"),
        ("http1.body", "from pyinit.drain import phases"),
        ("http1.body", "def f():\n    import socket"),
        ("drain.phases", "from pyinit.http1.head import HeadReader"),
        ("drain.phases", "from time import monotonic"),
        ("proxy.server", "from pyinit.init import signals"),
        ("proxy.server", "from pyinit import app"),
        ("proxy.server", "from pyinit.drain import budget"),
        ("proxy.server", "import uvloop"),
        ("init.run", "import asyncio"),
        ("init.run", "import dataclasses"),
        ("init.run", "from pyinit.proxy import server"),
        ("cli", "from pyinit import front"),
        ("cli", "from pyinit.app import run"),
        ("front", "from pyinit import app"),
        ("front", "import json"),
        ("app", "from pyinit import cli"),
        ("app", "import structlog"),
        ("logsetup", "import uvloop"),
        ("errors", "from .log import Sink"),
        ("init.__init__", "from pyinit.init import run"),
        ("ports", "import subprocess"),
        ("app", "def f():\n    import threading"),
        ("app", "import os\nos.kill(1, 15)"),
        ("app", "from os import fork"),
        ("init.run", "import os\nos.waitpid(-1, 0)"),
        ("init.run", "import os\nos.execv('x', [])"),
        ("log", "import os\nos.set_blocking(2, False)"),
        ("ctl.health", "import argparse"),
        ("ctl.main", "from pyinit.ctl import commands"),
        ("ctl.commands", "from pyinit.proxy import stats"),
        ("ctl.commands", "from pyinit.check import command"),
        ("check.rules", "import yaml"),
        ("check.image", "from pyinit.init import signals"),
        ("ctl.client", "import aiohttp"),
    ],
)
def test_a_breach_is_found(module: str, source: str) -> None:
    """Or the test above would pass on anything."""
    assert len(breaches(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cli", "def f():\n    from pyinit import front"),
        ("app", "self.child.kill()"),
        ("proxy.server", "from pyinit.drain.tracker import Tracker\nimport asyncio"),
        ("settings", "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Protocol"),
    ],
)
def test_what_is_allowed_is_no_breach(module: str, source: str) -> None:
    assert breaches(module, source) == []
