"""``without_tls``: OpenSSL stays out, and whoever wants it later has it. Each in an interpreter of its own."""

import subprocess
import sys

import pytest

from tests.support.process import PATIENCE_S, ROOT, TIME_SCALE

BEGIN = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pyinit import without_tls
"""
# One request of a loop: a timer, a server, a client.
WORKS = """
import asyncio, uvloop
async def once():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    transport.close()
    server.close()
    await asyncio.sleep(0)
uvloop.run(once())
"""


def told(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-P", "-c", BEGIN + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S * TIME_SCALE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_loop_works_and_openssl_is_not_loaded() -> None:
    code = "without_tls.load_loop()" + WORKS + "print('ssl' in sys.modules, '_ssl' in sys.modules)"
    assert told(code) == "False False"


def test_who_imports_ssl_later_has_it() -> None:
    code = "without_tls.load_loop()\nimport ssl\nprint(ssl.create_default_context().verify_mode.name)"
    assert told(code) == "CERT_REQUIRED"


def test_what_uvloop_wants_of_ssl_and_we_have_not_foreseen_it_gets() -> None:
    """A later uvloop: four megabytes more, and no start that fails."""
    code = (
        "without_tls._ERRORS = without_tls._FUNCTIONS = ()\nwithout_tls.load_loop()"
        + WORKS
        + "import ssl\nprint(ssl is sys.modules['ssl'], issubclass(ssl.SSLError, OSError))"
    )
    assert told(code) == "True True"


def test_what_nobody_has_is_an_error_that_names_it() -> None:
    code = """
stand_in = sys.modules["ssl"] = without_tls._StandIn()
try:
    stand_in.no_such_name
except AttributeError as problem:
    print(problem)
"""
    assert told(code) == "module 'ssl' has no attribute 'no_such_name'"


def test_ssl_that_is_loaded_already_is_left_alone() -> None:
    code = """
import ssl
without_tls.load_loop()
without_tls.load("aiohttp.web")
import asyncio, uvloop
async def serve():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)).close()
uvloop.run(serve())
print(ssl is sys.modules["ssl"])
"""
    assert told(code) == "True"


@pytest.mark.parametrize("way", ["True", "ssl.create_default_context()"])
def test_asked_for_tls_the_loop_says_that_there_is_none(way: str) -> None:
    code = f"""
without_tls.load_loop()
import asyncio, ssl, uvloop
async def connect():
    try:
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", 9, ssl={way})
    except NotImplementedError as problem:
        print(problem)
uvloop.run(connect())
"""
    assert told(code) == "pyinit speaks no TLS"


def test_the_operators_server_loads_and_aiohttp_reads_no_certificates() -> None:
    """prometheus-client, before it, wants ssl and gets it."""
    code = """
without_tls.load_loop()
from pyinit.admin import surface
surface._import_server()
import aiohttp.connector, ssl, urllib.request
print(ssl is sys.modules["ssl"], hasattr(urllib.request, "HTTPSHandler"), aiohttp.connector.ssl)
"""
    assert told(code) == "True True None"
