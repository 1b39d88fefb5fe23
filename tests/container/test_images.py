"""The Dockerfiles' images in real containers: built, run, asked, looked into, stopped, killed.

By podman; what it does not do here, a HEALTHCHECK that fires by itself and memory limits, is not seen here.
"""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import container_start
import container_stop
import engine
import pytest
from stop_timeline import Timeline
from storm import LOST, Outcome

from tests.support import bundle, npm_registry, roots
from tests.support.containers import Container, as_a_users, container, ran, stopped_in_a_storm
from tests.support.front import DEADLINE_S
from tests.support.http_client import Client
from tests.support.process import PATIENCE_S, ROOT, TIME_SCALE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.bundle, pytest.mark.node, pytest.mark.slow]

EXAMPLE, TINI, SIDECAR = (
    "localhost/pyinit-test-example",
    "localhost/pyinit-test-tini",
    "localhost/pyinit-sidecar",
)
FULL, INIT, BUILDER = (
    "localhost/pyinit-bundle",
    "localhost/pyinit-bundle-init",
    "localhost/pyinit-test-builder",
)
MUSL, DISTROLESS = "localhost/pyinit-test-musl", "localhost/pyinit-test-distroless"
PYINIT = "/opt/pyinit/bin/pyinit"
# An image as tini's users have it, with a user and a start of its own; what is to be replaced would be noticed.
WITH_TINI = """
RUN printf '#!/bin/sh\\necho not replaced\\n' > /usr/bin/tini && chmod 755 /usr/bin/tini
USER 1234:1234
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["sh", "-c", "cat /proc/1/comm; id -u; exit 6"]
"""
HARDENED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--user=node")


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """With the images in it."""
    with engine.engine() as found:
        add_bundle(found)
        found.import_tar(bundle.init_only().with_suffix(".tar"), INIT, "ENV PATH=/opt/pyinit/bin")
        docker = ROOT / "docker"
        base, full = f"--build-arg=NODE={engine.BASE}", f"--build-arg=PYINIT={FULL}"
        found.build(EXAMPLE, docker / "example", base, full)
        folder = tmp_path_factory.mktemp("with-tini")
        (folder / "Dockerfile").write_text(f"FROM {engine.BASE}\n{WITH_TINI}")
        found.build(f"{TINI}-before", folder)
        found.build(TINI, docker / "tini", f"--build-arg=BASE={TINI}-before", f"--build-arg=PYINIT={INIT}")
        found.build(SIDECAR, docker / "sidecar", full)
        yield found


def add_bundle(found: Engine) -> None:
    """As its own Dockerfile builds it, on a Debian that trusts whom this machine trusts: pip may meet a proxy."""
    with tempfile.TemporaryDirectory() as text:
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", text)
        certificates = "/etc/ssl/certs/ca-certificates.crt"
        lines = (
            f"FROM {engine.BASE}",
            f"COPY ca-certificates.crt {certificates}",
            f"ENV PIP_CERT={certificates}",
        )
        (Path(text) / "Dockerfile").write_text("\n".join(lines))
        found.build(BUILDER, Path(text))
    words = (f"--file={ROOT / 'docker/bundle/Dockerfile'}", f"--build-arg=BUILDER={BUILDER}")
    # With a name of its own the stage is kept: compiler and Python are not installed each time.
    found.build(f"{FULL}-build", ROOT, *words, "--target=build")
    found.build(FULL, ROOT, *words)


def test_every_stage_of_the_example_can_be_built(podman: Engine) -> None:
    """The audit has nobody to ask, as the app has no dependency."""
    words = (f"--build-arg=NODE={engine.BASE}", f"--build-arg=PYINIT={FULL}")
    lines = (ROOT / "docker/example/Dockerfile").read_text().splitlines()
    stages = [line.split()[-1] for line in lines if line.startswith("FROM ")]
    assert stages == ["pyinit", "base", "deps", "test", "audit", "production"]
    for stage in stages:
        podman.build(f"{EXAMPLE}-{stage}", ROOT / "docker/example", *words, f"--target={stage}")


def test_the_audit_fails_a_build_whose_dependency_has_a_severe_hole(podman: Engine, tmp_path: Path) -> None:
    """And one whose registry does not answer. Ours has one package: npm's own is not asked."""
    app = shutil.copytree(ROOT / "docker/example", tmp_path / "app")
    (tmp_path / "base").mkdir()
    with npm_registry.registry() as registry:
        registry.add_to(app)
        environment = f"ENV NPM_CONFIG_REGISTRY={registry.url}\n"
        (tmp_path / "base/Dockerfile").write_text(f"FROM {engine.BASE}\n{environment}")
        podman.build(f"{EXAMPLE}-base-of-ours", tmp_path / "base")

        def build() -> None:
            base = f"--build-arg=NODE={EXAMPLE}-base-of-ours"
            podman.build(f"{EXAMPLE}-audited", app, base, f"--build-arg=PYINIT={FULL}", "--target=audit")

        with pytest.raises(RuntimeError, match="audit endpoint returned an error"):
            build()
        registry.severity = "high"
        with pytest.raises(RuntimeError, match="It was left behind"):
            build()
        registry.severity = "moderate"
        build()
        assert registry.asked == [{npm_registry.PACKAGE: [npm_registry.VERSION]}] * 2


def runs(running: Container, name: str) -> bool:
    return name in running.exec("ps", "-eo", "comm").split()


def oldest_exchange(running: Container) -> str | None:
    status = json.loads(running.exec("/opt/pyinit/bin/pyinitctl", "status", "--json"))
    return next((exchange["target"] for exchange in status["oldest"]), None)


def status_of(running: Container, target: str = "/") -> int:
    running.wait_event("app.ready")
    with running.network(), Client(8080) as client:
        return client.get(target).status


@pytest.mark.parametrize("options", [(), HARDENED], ids=["as it is", "hardened"])
def test_the_example_serves_says_that_it_is_healthy_and_drains(
    podman: Engine, options: tuple[str, ...]
) -> None:
    with container(podman, *options, EXAMPLE) as running:
        assert status_of(running) == 200
        assert running.exec("/opt/pyinit/bin/pyinitctl", "health") == "ready\n"
        podman.run("healthcheck", "run", running.name)
        assert running.exec("cat", "/proc/1/comm") == "pyinit\n"
        assert running.exec("id", "-un") == "node\n"
        with running.network():
            client = Client(8080)
        with client:
            # In flight for as long as we like: its last byte is ours to send.
            client.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
            eventually(lambda: oldest_exchange(running) == "/upload")
            with running.stopping():
                running.wait_event("drain.phase_changed", phase="draining")
                client.send(b"2")
                answer = client.response()
        assert (running.exit_code(), answer.status, answer.get("connection")) == (0, 200, "close")
        assert running.wait_event("drain.finished")["cut_count"] == 0


def test_signals_and_sigkill(podman: Engine) -> None:
    for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, 137)):
        with container(
            podman, "--entrypoint=/opt/pyinit/bin/pyinit", EXAMPLE, "--", "sleep", "1000"
        ) as running:
            eventually(partial(runs, running, "sleep"))
            running.kill(signum)
            assert running.exit_code() == code


def test_exit_codes_are_the_commands(podman: Engine) -> None:
    pyinit = ("--entrypoint=/opt/pyinit/bin/pyinit", EXAMPLE, "--")
    assert ran(podman, *pyinit, "sh", "-c", "exit 42").returncode == 42
    assert ran(podman, *pyinit, "/nowhere").returncode == 127
    assert ran(podman, *pyinit, "/etc/passwd").returncode == 126


def test_tinis_image_runs_pyinit_as_tini(podman: Engine) -> None:
    """What the image of before starts, and as whom, is what the one with pyinit starts."""
    assert ran(podman, f"{TINI}-before").stdout == "not replaced\n"
    done = ran(podman, TINI)
    assert (done.stdout, done.returncode) == ("tini\n1234\n", 6), done.stderr
    for path in ("/usr/bin/tini", "/sbin/tini"):
        assert "pyinit" in ran(podman, TINI, path, "--version").stdout
    with container(podman, TINI, "node", "-e", "setInterval(() => {}, 1e6)") as running:
        eventually(partial(runs, running, "node"))
        begun_s = time.monotonic()
        assert running.stop() == 143
        assert time.monotonic() - begun_s < 10 * TIME_SCALE  # without an init Node as PID 1 has to be killed


def test_as_the_engines_own_init(podman: Engine) -> None:
    """One file is mounted, a launcher that all bundles have; the rest has to be in the image."""
    init = f"--init-path={bundle.init_only()}/bin/pyinit"
    words = ("sh", "-c", "cat /proc/1/comm; exit 4")
    done = ran(podman, "--init", init, "--entrypoint=", EXAMPLE, *words)
    assert done.returncode == 4, done.stderr
    assert done.stdout in ("podman-init\n", "init\n", "catatonit\n")
    done = ran(podman, "--init", init, engine.BASE, *words)
    assert done.returncode == 127
    assert "copy all of /opt/pyinit into the image" in done.stderr


def test_a_terminal_is_the_commands_and_ctrl_c_reaches_it(podman: Engine) -> None:
    ours, theirs = pty.openpty()
    script = "trap 'echo interrupted; exit 5' INT; tty; stty size; echo is up; while :; do sleep 0.1; done"
    words = ("run", "--rm", "-it", "--network=none", TINI, "bash", "-c", script)
    with subprocess.Popen(
        podman.command(*words), env=podman.environment, stdin=theirs, stdout=theirs
    ) as popen:
        os.close(theirs)
        try:
            assert "/dev/pts/" in read_until(ours, "is up")
            os.write(ours, b"\x03")
            read_until(ours, "interrupted")
            assert popen.wait(DEADLINE_S) == 5
        finally:
            popen.kill()
            os.close(ours)


def read_until(fd: int, word: str) -> str:
    text, end_s = "", time.monotonic() + 3 * PATIENCE_S * TIME_SCALE
    while word not in text:
        assert select.select([fd], [], [], max(0.0, end_s - time.monotonic()))[0], text
        text += os.read(fd, 4096).decode()
    return text


def test_a_sidecar_of_nothing_but_pyinit_fronts_an_app_in_another_container(podman: Engine) -> None:
    app = ("--env=PORT=3000", "--entrypoint=node", EXAMPLE, "server.js")
    with (
        container(podman, *app) as behind,
        container(
            podman, "--read-only", "--cap-drop=all", f"--network=container:{behind.name}", SIDECAR
        ) as sidecar,
    ):
        sidecar.wait_event("listener.bound")
        with behind.network():
            eventually(lambda: is_answered(8080))
        assert sidecar.exec("/opt/pyinit/bin/pyinitctl", "health") == "ready\n"
        assert sidecar.stop() == 0


def is_answered(port: int) -> bool:
    try:
        with Client(port) as client:
            return client.get("/").status == 200
    except ConnectionError:
        return False


def test_a_stop_under_a_storm_loses_nothing(podman: Engine) -> None:
    with container(podman, EXAMPLE) as running:
        assert status_of(running) == 200
        stop = stopped_in_a_storm(podman, running, 8080)
        assert stop.count(*LOST, Outcome.NOT_200) == 0, stop
        assert stop.count(Outcome.ANSWERED) > 0
        assert running.exit_code() == 0
        # The slow requests take one, the engine's own share is less: ten are never needed.
        assert stop.exit_s < 6 * TIME_SCALE
        assert running.wait_event("drain.finished")["cut_count"] == 0


def test_it_fronts_an_app_on_musl_with_busybox(podman: Engine, tmp_path: Path) -> None:
    """As on Alpine: the only glibc is the bundle's own."""
    roots.add_musl(podman, MUSL, pyinit=FULL, work=tmp_path)
    # The loader of musl, run by itself, says what it is.
    done = ran(podman, f"--entrypoint={PYINIT}", MUSL, "--", "sh", "-c", "exec /lib/ld-musl-*.so.1")
    assert done.stderr.startswith("musl libc")
    with container(podman, *HARDENED[:-1], "--user=65534", MUSL) as running:
        running.wait_event("app.ready")
        with running.network(), Client(8080) as client:
            assert client.get("/").body.decode() == roots.PAGE
        assert running.exec("busybox", "cat", "/proc/1/comm") == "pyinit\n"
        libraries = running.exec("busybox", "find", "/", "-xdev", "-name", "libc.so*").split()
        assert sorted(Path(path).parent.name for path in libraries) == [
            "libexec",
            f"{os.uname().machine}-linux-musl",
        ]
        assert running.exec(f"{PYINIT}ctl", "health") == "ready\n"
        assert running.stop() == 128 + signal.SIGTERM  # httpd has no handler for it
        assert running.wait_event("drain.finished")["cut_count"] == 0


def test_it_fronts_node_in_an_image_without_a_shell(podman: Engine, tmp_path: Path) -> None:
    """As distroless ones are."""
    roots.add_distroless(podman, DISTROLESS, pyinit=FULL, app=ROOT / "docker/example", work=tmp_path)
    assert ran(podman, "--entrypoint=/bin/sh", DISTROLESS, "-c", "true").returncode == 127
    with container(podman, *HARDENED[:-1], DISTROLESS) as running:
        assert status_of(running) == 200
        assert running.exec(f"{PYINIT}ctl", "health") == "ready\n"
        stop = stopped_in_a_storm(podman, running, 8080)
        assert stop.count(*LOST, Outcome.NOT_200) == 0, stop
        assert running.exit_code() == 0


def test_a_stop_is_drawn_with_its_phases_and_what_became_of_each_request(
    podman: Engine, tmp_path: Path
) -> None:
    measured = container_stop.measure(podman, EXAMPLE)
    measured.save(tmp_path / "stop.json")
    timeline = Timeline.load(tmp_path / "stop.json")
    assert timeline == measured
    assert timeline.count(*LOST, Outcome.NOT_200) == 0, timeline.text()
    assert [name for name, _ in timeline.phases] == ["serving", "lame_duck", "draining", "stopping", "done"]
    begins_s = dict(timeline.phases)
    # On two clocks, the clients' and the log's, of one machine.
    assert timeline.asked_s < 0 < begins_s["draining"] < timeline.endless.ended_s < begins_s["done"] + 0.5
    assert timeline.endless.outcome is Outcome.NOT_200
    refused = [request for request in timeline.requests if request.outcome is Outcome.REFUSED]
    assert min(request.began_s for request in refused) > begins_s["draining"] - 0.5
    words = [sys.executable, "benchmarks/container_stop.py", "--from", str(tmp_path / "stop.json")]
    done = subprocess.run(
        [*words, "--picture", str(tmp_path / "stop.svg")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "0 of the storm's requests were lost" in done.stdout
    written = "".join(ET.parse(tmp_path / "stop.svg").getroot().itertext())  # noqa: S314  our own
    for word in ("serving", "lame duck", "drain", "signal, exit", "finished", "refused", "cut"):
        assert word in written


def test_the_time_to_the_first_answer_is_measured_for_each_way_to_start(podman: Engine) -> None:
    starts = container_start.measure(podman, EXAMPLE, 1)
    assert [len(measured) for measured in starts.values()] == [1] * 5
    assert all(start.cpu_s > 0 for variant in container_start.VARIANTS for start in starts[variant])
    text = container_start.text("podman", starts)
    assert all(variant.title in text for variant in (container_start.ENGINE, *container_start.VARIANTS))


def has_written(running: Container, line: str) -> bool:
    return line in running.output().splitlines()


LISTENER = """
for (const name of ['SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH']) process.on(name, () => console.log(name));
process.on('SIGTERM', () => process.exit(7));
require('http').createServer((q, s) => s.end()).listen(process.env.PORT);
"""


def test_a_signal_that_stops_nothing_goes_to_the_app(podman: Engine) -> None:
    """SIGQUIT too; the app is served all the while."""
    with container(podman, EXAMPLE, "node", "-e", LISTENER) as running:
        running.wait_event("app.ready")
        for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGQUIT"):
            running.kill(signal.Signals[name])
            eventually(partial(has_written, running, name))
        assert status_of(running) == 200
        assert running.stop() == 7
        assert running.wait_event("drain.finished")["cut_count"] == 0


QUIT = f"""\
FROM {EXAMPLE}
ENV PYINIT_STOP_SIGNALS=QUIT PYINIT_REWRITE=QUIT:TERM
STOPSIGNAL SIGQUIT
"""


def test_an_images_stop_signal_of_its_own_begins_a_drain_where_it_is_named(
    podman: Engine, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(QUIT)
    podman.build(f"{EXAMPLE}-quit", tmp_path)
    with container(podman, f"{EXAMPLE}-quit", "node", "-e", LISTENER) as running:
        running.wait_event("app.ready")
        assert running.stop() == 7
        assert running.wait_event("signal.received")["signal"] == "SIGQUIT"
        assert running.wait_event("drain.finished")["cut_count"] == 0


def test_a_stop_signal_that_is_not_named_is_the_apps_alone(podman: Engine) -> None:
    """``--stop-signal`` of whoever runs it: Node's own end by it, and no drain before."""
    with container(podman, "--stop-signal=SIGQUIT", EXAMPLE) as running:
        running.wait_event("app.ready")
        assert running.stop() == 128 + signal.SIGQUIT
        phases = [event["phase"] for event in running.events() if event["event"] == "drain.phase_changed"]
        assert phases == ["serving", "done"]


def test_a_podman_that_is_there_is_used_and_left_as_it_was(
    podman: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", as_a_users(podman, tmp_path))
    with container(podman, TINI, "sleep", "1000") as users:
        with engine.engine() as found:
            assert found.command("x") == ["podman", "x"]
            assert ran(found, engine.BASE, "node", "-p", "6 * 7").stdout == "42\n"
        assert users.inspect("{{.State.Running}}") == "true"


def test_a_podman_that_cannot_run_a_container_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one without the right to set limits."""
    client = tmp_path / "podman"
    client.write_text('#!/bin/sh\n[ "$1" != run ] || { echo no limits >&2; exit 126; }\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert engine.podman_there() is None
    client.write_text("#!/bin/sh\n")
    assert engine.podman_there() is not None
