"""The fixtures of all system tests: one machine, with echod's package installed."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/e2e"))  # its clients and its way to wait

import base
import container
from service import DEFAULTS, TIDY, Journal, Service

pytest_plugins = ["descriptors"]  # of tests/e2e


def find_package():
    """$ECHOD_DEB, or what was built last in $ECHOD_PACKAGE_DIRECTORY."""
    if given := os.environ.get("ECHOD_DEB"):
        return Path(given).resolve()
    directory = Path(os.environ.get("ECHOD_PACKAGE_DIRECTORY", ROOT / "build/package"))
    built = directory.glob("echod_*.deb")
    return max(built, key=lambda path: path.stat().st_mtime, default=None)


DEB = find_package()
degraded = pytest.StashKey[str]()


def pytest_configure():
    if DEB is None or not DEB.is_file():
        raise pytest.UsageError(f"no package {DEB or ''}: build one, or set ECHOD_DEB to it")


def pytest_report_header():
    return f"package: {DEB}"


def pytest_terminal_summary(terminalreporter, config):
    if failed := config.stash.get(degraded, ""):
        terminalreporter.write_sep("=", "these units of the machine had failed before")
        terminalreporter.write(failed)


@pytest.fixture(scope="session")
def machine(pytestconfig):
    """A machine that knows nothing of echod."""
    if reason := container.lacking():
        pytest.skip(reason)
    try:
        with base.ready() as directory, container.Machine(directory) as booted:
            pytestconfig.stash[degraded] = booted.failed_units
            yield booted
    except (base.NoBase, container.NoBoot) as error:
        pytest.skip(f"no machine boots here: {error}")


class Installation:
    """What installing did, as it was right then, and what it is to leave of itself."""

    def __init__(self, machine):
        self._machine = machine
        self.deb = f"/srv/{DEB.name}"
        Path(f"/proc/{machine.leader}/root{self.deb}").write_bytes(DEB.read_bytes())
        self.names_before = self.names()
        self.install()
        self.listening = machine.run("ss", "-Hlntu").stdout
        self.enabled = self._state("is-enabled")
        self.active = self._state("is-active")
        self.defaults = machine.run("cat", DEFAULTS).stdout

    def _state(self, verb):
        units = ["echod.service", "echod.socket"]
        return self._machine.run("systemctl", verb, *units, check=False).stdout.split()

    def install(self, *options):
        """As root does it; the answer to any question is the default."""
        return self._machine.run("apt-get", "install", "--yes", *options, self.deb)

    def names(self):
        """Every file that bears echod's name, on disk and in memory.

        But for the page that man has formatted, and keeps until it tidies up.
        """
        find = ["find", "/", "/run", "/tmp", "-xdev", "-path", "/var/cache/man", "-prune"]
        find += ["-o", "-iname", "*echod*", "-print"]
        return set(self._machine.run(*find).stdout.splitlines()) - {self.deb}


@pytest.fixture(scope="session")
def installation(machine):
    """echod's package installed, with apt as an administrator does."""
    return Installation(machine)


@pytest.fixture
def journal(machine):
    return Journal(machine)


@pytest.fixture(autouse=True)
def as_installed(machine, installation, journal):
    """After each test echod is again as the package brought it.

    Of a test that fails, pytest shows what is printed here.
    """
    yield
    print(journal.text())
    machine.run("sh", "-c", TIDY, check=False)
    machine.write(DEFAULTS, installation.defaults)


@pytest.fixture
def service(machine):
    """echod.service, not started."""
    return Service(machine)


@pytest.fixture
def socket(machine):
    """echod.socket, not started."""
    return Service(machine, "echod.socket")


@pytest.fixture
def instance(machine):
    """echod@NAME, not started, with its options: instance(name, options)."""

    def configured(name, options):
        file = f"/etc/default/echod-{name}"
        made = Service(machine, f"echod@{name}.service", options=file)
        made.set_options(options)
        return made

    return configured


@pytest.fixture
def serving(service):
    """echod.service, started."""
    service.start()
    return service
