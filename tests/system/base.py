"""The base: a small Debian with systemd, made once and kept for later sessions."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import packages

SUITE = "bookworm"
BOOTS = ["systemd", "systemd-sysv", "dbus"]
TOOLS = ["man-db", "netcat-openbsd", "inetutils-telnet", "iproute2", "procps"]
# What echod's package depends on: there is no network to fetch it from later.
DEPENDENCIES = ["libbsd0", "libseccomp2"]

# Below /opt/PACKAGE, as they cannot be installed together; and what they need.
UNPACKED = {"openbsd-inetd": "inetd", "xinetd": "xinetd"}
NEEDED = ["netbase", "libevent-2.1-7", "libsystemd0", "libtirpc3", "libwrap0"]

INCLUDED = BOOTS + TOOLS + DEPENDENCIES + NEEDED
RECIPE = ["--variant=minbase", f"--include={','.join(INCLUDED)}", SUITE]
CACHE = Path("/var/cache/echod-system-test")
MAX_AGE = 30 * 24 * 3600  # seconds; bookworm has security updates


class NoBase(Exception):
    """This host cannot make one; the text says what is missing."""


@contextlib.contextmanager
def ready():
    """The directory of the base, which nobody removes in this context.

    That is $ECHOD_SYSTEM_BASE as it stands, or one of our own: made if there is
    none, if its recipe has changed or if it is old.
    """
    if given := os.environ.get("ECHOD_SYSTEM_BASE"):
        yield Path(given).resolve(strict=True)
        return
    recipe = hashlib.sha256(" ".join([*RECIPE, *UNPACKED]).encode()).hexdigest()
    base = CACHE / f"base-{recipe[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    # Shared by all who use a base, and exclusive for who changes what there is.
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not is_fresh(base):
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_fresh(base):  # still: nobody else has made it meanwhile
                make(base)
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield base


def is_fresh(base):
    try:
        return time.time() - base.stat().st_mtime < MAX_AGE
    except FileNotFoundError:
        return False


def make(base):
    """Put a new one in place as a whole, or not at all; and drop the old ones."""
    if shutil.which("debootstrap") is None:
        raise NoBase("needs Debian's package debootstrap")
    where = mirror()
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=CACHE))
    try:
        debootstrap(unfinished, where)
        for package, program in UNPACKED.items():
            packages.unpacked(package, program, unfinished / "opt")
        (unfinished / "etc/hostname").unlink(missing_ok=True)  # it is this host's
        unfinished.chmod(0o755)
        os.utime(unfinished)
        for old in [base, *CACHE.glob("base-*")]:
            if not is_fresh(old):
                shutil.rmtree(old, ignore_errors=True)
        unfinished.rename(base)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def debootstrap(target, where):
    command = ["debootstrap", *RECIPE, target, where]
    environment = {**proxy(), **os.environ, "LC_ALL": "C.UTF-8"}
    result = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode != 0:
        raise RuntimeError(f"debootstrap with {where}: {last_lines(result.stdout)}")


def mirror():
    """Where apt gets the suite from on this host, so that no mirror need be named."""
    found = ask(
        *("apt-get", "indextargets", "--no-release-info", "--format=$(REPO_URI)"),
        f"Release: {SUITE}",
    )
    if not found:
        raise NoBase(f"apt has no {SUITE} among its sources; ECHOD_SYSTEM_BASE may name one")
    return found.splitlines()[0]


def proxy():
    """Apt's, in the words of the environment; debootstrap does not look for it."""
    url = ask("apt-config", "dump", "--format=%v%n", "Acquire::http::Proxy")
    return {"http_proxy": url} if url else {}


def ask(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise NoBase(f"{' '.join(command)}: {last_lines(result.stderr)}")
    return result.stdout.strip()


def last_lines(text, count=5):
    return " | ".join(text.strip().splitlines()[-count:])
