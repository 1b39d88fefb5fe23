"""Container engines for tests and for trying images out: podman, and dockerd, set up so that they work nearly anywhere.

    python docker/engine.py podman run --rm localhost/pyinit-base:bookworm node --version
    python docker/engine.py docker run --rm --network=none localhost/pyinit-base:bookworm node --version

run a command where that engine works and that base image is there. An engine that works as it is, is used: podman
that can run a container, docker whose daemon (DOCKER_HOST) is on this machine; images that are made stay there. Else
one is set up. On a machine without systemd, with cgroups half v1 and half v2, or in a sandbox without
CAP_SYS_RESOURCE, podman needs a mount namespace of its own, limits that can be had, and neither cgroups nor a bridge;
memory limits have no effect then. The base is Debian 12 with Node.js, made by mmdebstrap and kept (XDG_CACHE_HOME): no
registry of images is asked. Root alone may; missing programs are installed from Debian.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "localhost/pyinit-base:bookworm"
_PROBE = "localhost/pyinit-probe"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyinit-images"
_PROGRAMS = {
    "podman": "podman",
    "crun": "crun",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
}  # Debian's
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIMIT = 16384
_CONFIGURATION = """\
[containers]
default_ulimits = ["nofile={nofile}:{nofile}", "nproc={nproc}:{nproc}"]
cgroups = "disabled"
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
"""


_CONTAINERD = """\
version = 2
root = "{place}/containerd"
state = "{place}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
oom_score = 0
[grpc]
address = "{place}/containerd.sock"
"""
_DOCKERD = (
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
    "--bridge=none",
    "--userland-proxy=false",
    "--storage-driver=overlay2",
    "--oom-score-adjust=0",
)
_DAEMON_START_S = 60.0


def refusal() -> str | None:
    """Why there can be no engine here; None where there can."""
    if os.geteuid():
        return "need root"
    if missing := [word for word in _PROGRAMS if shutil.which(word) is None]:
        return f"need {', '.join(missing)}" if shutil.which("apt-get") is None else None
    return None


class Engine:
    """An engine's client, and how it is reached.

    Attributes:
        words: to be put before a command, so that it runs where the engine is.
        environment: for it.
    """

    name = "podman"
    _build_options: tuple[str, ...] = (
        "--isolation=chroot",
        "--format=docker",
        "--network=host",
        "--pull=never",
    )

    def __init__(self, words: list[str], options: list[str], environment: dict[str, str]) -> None:
        self.words = words
        self._options = options
        self.environment = {**os.environ, **environment}

    def command(self, *words: str | Path) -> list[str]:
        """What runs the client with these arguments."""
        return [*self.words, self.name, *self._options, *map(str, words)]

    def run(self, *words: str | Path, text_in: str | None = None) -> str:
        """Run the client; what it prints. Raises RuntimeError with what it says where it fails."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment,
            input=text_in,
            stdin=None if text_in is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"{self.name} {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def build(self, tag: str, folder: Path, *options: str) -> None:
        """An image of a folder's Dockerfile; as docker writes them, HEALTHCHECK included."""
        self.run("build", *self._build_options, *options, "-t", tag, folder)

    def import_tar(self, archive: Path, tag: str, *changes: str) -> None:
        """An image of one layer."""
        options = [word for change in changes for word in ("-c", change)]
        self.run("import", *options, archive, tag)


@contextmanager
def engine() -> Iterator[Engine]:
    """Podman with the base image in it: the one that is there, or else one of our own, whose containers are ended."""
    if (there := podman_there()) is not None:
        _load(there, _base())
        yield there
        return
    _install("podman", "crun", "nsenter")
    base = _base()
    # Images are kept, as unpacking the base takes longer than most of what is done with it.
    with tempfile.TemporaryDirectory(prefix="pyinit-engine-") as text, _locked("lock"):
        configuration = Path(text) / "containers.conf"
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        nofile = min(_LIMIT, hard) if hard != resource.RLIM_INFINITY else _LIMIT
        nproc = min(_LIMIT, int(Path("/proc/sys/kernel/pid_max").read_text()))
        configuration.write_text(_CONFIGURATION.format(nofile=nofile, nproc=nproc))
        # crun wants one hierarchy or the other: what a hybrid machine has of v2 is taken out of its sight.
        script = "umount /sys/fs/cgroup/unified 2>/dev/null; echo there; exec sleep infinity"
        with subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", script], stdout=subprocess.PIPE
        ) as holder:
            try:
                assert holder.stdout is not None  # noqa: S101  it is a pipe
                holder.stdout.readline()
                words = ["nsenter", "-t", str(holder.pid), "-m", "--"]
                places = ["--root", str(_CACHE / "storage"), "--runroot", str(_CACHE / "run")]
                found = Engine(words, places, {"CONTAINERS_CONF": str(configuration)})
                found.run("rm", "--all", "--force", "--time=0")  # of one that was killed
                _load(found, base)
                try:
                    yield found
                finally:
                    found.run("rm", "--all", "--force", "--time=0")
                    found.run("image", "prune", "--force")
            finally:
                holder.kill()


def podman_there() -> Engine | None:
    """The podman of this machine, where it runs containers as it is; that it is installed is no sign of that."""
    if shutil.which("podman") is None:
        return None
    found = Engine([], [], {})
    # The image is of nothing, so that this takes a second: its files are the machine's own.
    mounts = [f"--volume={path}:{path}:ro" for path in ("/usr", "/lib", "/lib64") if Path(path).exists()]
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        with tarfile.open(archive.name, "w"):
            pass
        try:
            found.import_tar(Path(archive.name), _PROBE)
            try:
                found.run("run", "--rm", "--network=none", *mounts, _PROBE, "/usr/bin/true")
            finally:
                found.run("rmi", _PROBE)
        except RuntimeError as problem:
            last = str(problem).strip().splitlines()[-1]
            print(f"podman does not run as it is, and is set up: {last}", file=sys.stderr)
            return None
    return found


def _load(found: Engine, base: Path) -> None:
    stamp = f"{base.stat().st_mtime_ns}"
    label = '{{index .Config.Labels "made"}}'
    kept = found.run("images", "--quiet", BASE)
    if not kept.strip() or found.run("image", "inspect", BASE, "--format", label).strip() != stamp:
        found.import_tar(base, BASE, f"ENV {_PATH}", f"LABEL made={stamp}")


class Docker(Engine):
    """docker's client; its classic builder, as Debian has no other."""

    name = "docker"
    _build_options = ("--network=none",)


def docker_there() -> Docker | None:
    """The docker of this machine, where its daemon answers and is here too: another machine's has no PIDs here."""
    if shutil.which("docker") is None:
        return None
    found = Docker([], [], {})
    try:
        name = found.run("info", "--format", "{{.Name}}").strip()
    except RuntimeError:
        return None
    return found if name == os.uname().nodename else None


@contextmanager
def docker_engine(init_path: Path | None = None) -> Iterator[Docker]:
    """Docker with the base image in it: the one that is there, or else one of our own.

    That is dockerd and containerd of Debian's packages, unpacked and not installed, in namespaces of their own.
    Slower to set up than podman: for what that does not do here, HEALTHCHECK, and docker's own ways.

    Args:
        init_path: what ``--init`` puts into containers. As a daemon is told at its start, it is one of our own then.
    """
    if init_path is None and (there := docker_there()) is not None:
        _load(there, _base())
        yield there
        return
    _install("nsenter")
    base = _base()
    programs = unpacked("docker", "docker.io", "containerd", "runc")
    with tempfile.TemporaryDirectory(prefix="pyinit-docker-") as text, ExitStack() as running:
        place = Path(text)
        path = f"{programs}/usr/bin:{programs}/usr/sbin:{programs}/sbin:{os.environ['PATH']}"
        environment = {"PATH": path, "DOCKER_HOST": f"unix://{place}/docker.sock", "DOCKER_BUILDKIT": "0"}
        script = (
            "umount /sys/fs/cgroup/unified /sys/fs/cgroup/memory 2>/dev/null; ip link set lo up; echo there;"
            " exec sleep infinity"
        )
        holder = running.enter_context(
            subprocess.Popen(
                ["unshare", "-m", "-n", "--propagation", "private", "sh", "-c", script],
                stdout=subprocess.PIPE,
            )
        )
        running.callback(holder.kill)
        assert holder.stdout is not None  # noqa: S101  it is a pipe
        holder.stdout.readline()
        found = Docker(["nsenter", "-t", str(holder.pid), "-m", "-n", "--"], [], environment)
        (place / "containerd.toml").write_text(_CONTAINERD.format(place=place))
        log = running.enter_context((place / "log").open("wb"))
        for words in (
            ["containerd", "-c", f"{place}/containerd.toml"],
            ["dockerd", f"--containerd={place}/containerd.sock", f"--data-root={place}/data",
             f"--exec-root={place}/exec", f"--pidfile={place}/pid", "-H", f"unix://{place}/docker.sock",
             *_DOCKERD, *([f"--init-path={init_path}"] if init_path else [])],
        ):  # fmt: skip
            daemon = running.enter_context(
                subprocess.Popen([*found.words, *words], env=found.environment, stdout=log, stderr=log)
            )
            running.callback(daemon.terminate)
        end_s = time.monotonic() + _DAEMON_START_S
        while True:
            try:
                found.run("info")
                break
            except RuntimeError:
                if time.monotonic() > end_s:
                    raise RuntimeError((place / "log").read_text()[-2000:]) from None
                time.sleep(0.1)
        _load(found, base)
        yield found


def unpacked(name: str, *packages: str) -> Path:
    """A folder, kept by that name, of what is in Debian packages; nothing is installed."""
    folder = _CACHE / name
    with _locked(f"{name}.lock"), tempfile.TemporaryDirectory(prefix="pyinit-packages-") as text:
        if not folder.exists():
            words = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages]
            subprocess.run(words, cwd=text, check=True, stdout=sys.stderr)
            new = folder.with_suffix(".new")
            for package in sorted(Path(text).glob("*.deb")):
                subprocess.run(["dpkg-deb", "-x", str(package), str(new)], check=True)
            new.replace(folder)
    return folder


def _install(*programs: str) -> None:
    with _locked("install.lock"):
        wanted = sorted({_PROGRAMS[program] for program in programs if shutil.which(program) is None})
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *wanted]):
            if wanted:
                subprocess.run(["apt-get", *words], env=environment, check=True, stdout=sys.stderr)


def _base() -> Path:
    """The base as an archive; made if it is not there."""
    base = _CACHE / "base.tar"
    _install("mmdebstrap")
    with _locked("base.lock"):
        if not base.exists():
            _make_base(base)
    return base


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One process at a time: tests of podman and of docker begin at once, and what takes a minute is made once."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_base(base: Path) -> None:
    """Debian 12 with this machine's Node.js where that needs the C++ library alone, as node.org's; else Debian's."""
    hooks = ['--customize-hook=chroot "$1" useradd --uid 1000 --create-home node']
    packages = ["ca-certificates", "procps"]
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and _is_self_contained(node):
        packages.append("libstdc++6")
        modules = Path(npm).resolve().parents[1]
        hooks += [
            f"--customize-hook=copy-in {Path(node).resolve()} /usr/local/bin",
            '--customize-hook=mkdir -p "$1/usr/local/lib/node_modules"',
            f"--customize-hook=copy-in {modules} /usr/local/lib/node_modules",
            '--customize-hook=ln -s ../lib/node_modules/npm/bin/npm-cli.js "$1/usr/local/bin/npm"',
        ]
    else:
        packages += ["nodejs", "npm"]
    new = base.with_suffix(".new.tar")
    words = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(packages)}",
        *hooks,
        "bookworm",
    ]
    subprocess.run([*words, str(new)], check=True, stdout=sys.stderr)
    new.replace(base)


def _is_self_contained(node: str) -> bool:
    linked = subprocess.run(["ldd", node], capture_output=True, text=True, check=False).stdout
    names = {line.split()[0].partition(".so")[0] for line in linked.splitlines() if ".so" in line}
    return {name for name in names if "/" not in name} <= {
        *("linux-vdso", "libdl", "libstdc++", "libm", "libgcc_s", "libpthread", "libc", "librt"),
    }


def main() -> None:
    """Run a command with an engine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="podman and its arguments, or any other")
    command = parser.parse_args().command
    if not command:
        parser.error("what is to be run?")
    if reason := refusal():
        raise SystemExit(f"no engine here: {reason}")
    with docker_engine() if command[0] == "docker" else engine() as found:
        words = found.command(*command[1:]) if command[0] == found.name else [*found.words, *command]
        raise SystemExit(subprocess.run(words, env=found.environment, check=False).returncode)


if __name__ == "__main__":
    main()
