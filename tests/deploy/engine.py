"""A Docker engine of the test's own, started by hand as root on Debian 12, and what it needs."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

PACKAGES = ("docker.io", "iptables", "iproute2", "mmdebstrap", "binutils")
# Debian's client has BuildKit in it, others need a plug-in for that
DOCKER = "/usr/bin/docker"
START_SECONDS, STOP_SECONDS = 30.0, 60.0
CLONE_NEWNET = 0x40000000
UNCONNECTED = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")


def run(*command: str | Path, **options: object) -> str:
    """The standard output of a command. Raises subprocess.CalledProcessError, after its errors were printed."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True, **options)  # type: ignore[call-overload]
    return str(done.stdout)


def docker(*arguments: str) -> str:
    """What docker prints."""
    return run(DOCKER, *arguments).strip()


def install_packages() -> None:
    """Install what is missing. Exits if this is not root on a Debian system."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit("the images are tested with a Docker engine of the test's own, which takes root on Debian 12")
    known = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", *PACKAGES]
    found = subprocess.run(known, capture_output=True, text=True, check=False)
    if found.stdout.count("ii") < len(PACKAGES):
        # RUNLEVEL: the package does not start an engine, which would be the system's
        environment = os.environ | {"RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=environment)
        run("apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES, env=environment)


def python_prefix() -> Path:
    """The prefix of a CPython 3.12: of PYTHON312, of python3.12 on PATH, or of pyenv's. Exits if there is none."""
    pyenv = sorted((Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions").glob("3.12.*"))
    for each in (os.environ.get("PYTHON312"), shutil.which("python3.12"), *(f / "bin/python3.12" for f in pyenv)):
        command = [str(each), "-c", "import sys; print(sys.base_prefix)"]
        with suppress(OSError, subprocess.CalledProcessError):
            return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    sys.exit("no Python 3.12 to build the images from: name one by PYTHON312=/path/to/python3.12")


def enter_empty_network() -> None:
    """Put this process and those it starts from now on into a network of their own, which reaches nothing."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace")
    run("ip", "link", "set", "lo", "up")


class Engine:
    """An engine whose images and layers are kept in a folder between two tests.

    Args:
        folder: for images, layers and the log.
        options: of dockerd.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "dockerd.log"
        self._runtime = Path(tempfile.mkdtemp(prefix="lrserve-"))  # short: a socket's path has about 100 characters
        self._command = [
            *("dockerd", "--storage-driver", "overlay2", "--data-root", str((folder / "docker").resolve())),
            *("--exec-root", str(self._runtime / "run"), "--pidfile", str(self._runtime / "pid")),
            *("--host", f"unix://{self._runtime}/docker.sock", *options),
        ]

    def __enter__(self) -> None:
        os.environ |= {"DOCKER_HOST": f"unix://{self._runtime}/docker.sock", "DOCKER_BUILDKIT": "1"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run([DOCKER, "info"], capture_output=True, check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                sys.exit(f"the Docker engine does not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(STOP_SECONDS)
        shutil.rmtree(self._runtime, ignore_errors=True)


@contextmanager
def container(*options: str, name: str) -> Iterator[str]:
    """A container that runs meanwhile, by options and image of `docker run`. An error prints the end of its log."""
    docker("run", "--detach", "--name", name, *options)
    try:
        yield name
    except BaseException:
        subprocess.run([DOCKER, "logs", "--tail", "40", name], check=False)
        raise
    finally:
        subprocess.run([DOCKER, "rm", "--force", "--volumes", name], stdout=subprocess.DEVNULL, check=False)
