"""Find the programs of Debian's packages, also of those that are not installed.

openbsd-inetd and xinetd conflict with each other, and either would serve this host at
once, as would Prometheus and its node exporter: they are downloaded, and unpacked into a
directory that stays.  The libraries that they are linked with have to be installed.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = Path(os.environ.get("ECHOD_PACKAGES", ROOT / "build/packages")).resolve()
UNPACKED = ("openbsd-inetd", "xinetd", "prometheus", "prometheus-node-exporter")


def _find(program, *directories):
    return shutil.which(program, path=os.pathsep.join(map(str, directories)))


def _run(*command, cwd):
    quietly = {"stdin": subprocess.DEVNULL, "capture_output": True}
    subprocess.run(command, cwd=cwd, check=True, timeout=60, **quietly)


def installed(program):
    """The path of a program that may not be in an ordinary user's PATH, or None."""
    return _find(program, os.environ.get("PATH", ""), "/usr/sbin", "/sbin")


@functools.lru_cache(maxsize=None)  # without a network, it takes its time to fail
def unpacked(package, program, directory=DIRECTORY):
    """The path of a program below directory/package, or None.

    The package is there, too, for who wants to know its version.
    """
    where = directory / package
    places = where / "usr/bin", where / "usr/sbin"
    if path := _find(program, *places):
        return path
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        directory.mkdir(parents=True, exist_ok=True)
        # Others may do the same meanwhile: it appears as a whole.
        with tempfile.TemporaryDirectory(prefix=f"{package}-", dir=directory) as name:
            fresh = Path(name, package)
            fresh.mkdir(mode=0o755)
            _run("apt-get", "download", "-qq", package, cwd=fresh)
            for deb in fresh.glob("*.deb"):
                _run("dpkg", "-x", deb, fresh, cwd=fresh)
            fresh.rename(where)
    return _find(program, *places)


def find(package, program, directory=DIRECTORY):
    """The path of a program of a package, or None."""
    if path := installed(program):
        return path
    return unpacked(package, program, directory) if package in UNPACKED else None


def missing_libraries(path):
    """The libraries that a program cannot start without, and that are not installed."""
    ldd = subprocess.run(["ldd", path], capture_output=True, text=True)
    return [line.split()[0] for line in ldd.stdout.splitlines() if "not found" in line]
