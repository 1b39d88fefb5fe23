"""The installed command with -IS in its first line, as the README says to add it: no site, and all is found."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
import uvloop

from tests.support.process import PATIENCE_S, ROOT, TIME_SCALE, pyinit_environment

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def installed(prefix: Path, packages: str = "site-packages") -> Path:
    """What an installer leaves under a prefix: pyinit, what it needs, and a .pth file that is heard when it is read."""
    library = prefix / "lib" / PYTHON / packages
    library.mkdir(parents=True)
    for package in (ROOT / "pyinit", Path(structlog.__file__).parent, Path(uvloop.__file__).parent):
        (library / package.name).symlink_to(package)
    (library / "loud.pth").write_text("import os; os.write(2, b'site was here')\n")
    script = prefix / "bin" / "pyinit"
    script.parent.mkdir()
    text = (ROOT / "pyinit/scripts/pyinit.py").read_text()
    script.write_text(text.replace("#!python", f"#!{sys.executable}", 1))
    script.chmod(0o755)
    isolate(script)
    return script


def isolate(script: Path) -> None:
    """As the README says to."""
    (command,) = re.findall(r"sed -i '([^']+)' \"\$\(command -v pyinit\)\"", (ROOT / "README.md").read_text())
    subprocess.run(["sed", "-i", command, script], check=True)
    assert script.read_text().startswith(f"#!{sys.executable} -IS\n")


def output(*words: str | Path) -> str:
    done = subprocess.run(
        words, env=pyinit_environment(), capture_output=True, check=False, timeout=60 * TIME_SCALE
    )
    assert done.stderr == b""
    assert done.returncode == 0
    return done.stdout.decode()


@pytest.mark.parametrize("packages", ["site-packages", "dist-packages"])
def test_it_finds_its_packages_without_site(tmp_path: Path, packages: str) -> None:
    assert output(installed(tmp_path, packages), "-s", "--", "echo", "up") == "up\n"


def test_a_link_from_elsewhere_leads_to_them_too(tmp_path: Path) -> None:
    link = tmp_path / "sbin" / "tini"
    link.parent.mkdir()
    link.symlink_to(installed(tmp_path / "prefix"))
    assert output(link, "-s", "--", "echo", "up") == "up\n"


def test_a_copy_that_lies_elsewhere_goes_by_its_interpreter(tmp_path: Path) -> None:
    script = installed(tmp_path / "prefix")
    interpreter = script.with_name("python3")
    interpreter.symlink_to(sys.executable)
    text = script.read_text().replace(sys.executable, str(interpreter), 1)
    copy = tmp_path / "docker-init"
    copy.write_text(text)
    copy.chmod(0o755)
    assert output(copy, "-s", "--", "echo", "up") == "up\n"


def test_pyinitctl_finds_them_too(tmp_path: Path) -> None:
    script = installed(tmp_path).with_name("pyinitctl")
    text = (ROOT / "pyinit/scripts/pyinitctl.py").read_text()
    script.write_text(text.replace("#!python", f"#!{sys.executable}", 1))
    script.chmod(0o755)
    isolate(script)
    assert output(script, "--version").startswith("pyinitctl ")
    link = tmp_path / "ctl"
    link.symlink_to(script)
    assert output(link, "--help").startswith("usage: pyinitctl ")


@pytest.mark.node
def test_front_mode_and_its_workers_start_so(tmp_path: Path) -> None:
    """They are interpreters of their own, and are to find what we found."""
    example = str(ROOT / "docker/example/server.js")
    words = [str(installed(tmp_path)), "--listen", "127.0.0.1:0", "--workers", "2", "--", "node", example]
    events: list[str] = []
    with subprocess.Popen(
        words, env=pyinit_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as popen:
        assert popen.stderr is not None
        try:
            for line in popen.stderr:
                events.append(json.loads(line)["event"])
                if events[-1] == "app.ready":
                    popen.send_signal(signal.SIGTERM)
            assert popen.wait(PATIENCE_S * TIME_SCALE) == 0
        finally:
            popen.kill()
    assert events.count("worker.spawned") == 2, events
    assert "drain.finished" in events
