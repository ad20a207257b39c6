"""The manual page, and what --help says of the same."""

import re
import shutil
import subprocess

import pytest

from echod import ROOT

PAGE = ROOT / "man/echod.8"


def options_of_page():
    """The (letter or "", name, whether it takes a value) of each option."""
    item = r"^\.It (?:Fl (\S) (?:Ns )?, )?Fl -(\S+)(.*)$"
    found = re.findall(item, PAGE.read_text(), re.MULTILINE)
    return [(letter, name, " Ar " in rest) for letter, name, rest in found]


def options_of_help(text):
    """The same; a line may be about two of them."""
    item = r"(?:-(\S), |^ {6})--([a-z0-9-]+)(=?)"
    found = re.findall(item, text, re.MULTILINE)
    return [(letter, name, bool(equals)) for letter, name, equals in found]


def test_help_and_page_have_the_same_options(run):
    in_help = options_of_help(run("--help").stdout)
    assert in_help
    assert sorted(options_of_page()) == sorted(in_help)


def test_the_synopsis_has_each_letter():
    synopsis = PAGE.read_text().partition(".Sh SYNOPSIS")[2].partition(".Sh ")[0]
    given = "".join(re.findall(r"^\.(?:Op )?Fl (\w+)", synopsis, re.MULTILINE))
    assert set(given) == {letter for letter, *_ in options_of_page() if letter}


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="needs Debian's mandoc")
def test_mandoc_finds_nothing_to_say():
    lint = subprocess.run(["mandoc", "-Tlint", PAGE], capture_output=True, text=True)
    assert lint.stdout + lint.stderr == ""
