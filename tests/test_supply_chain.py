"""What is installed is what requirements.txt pins, with hashes and no address."""

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "requirements.txt").read_text()
# one requirement on each logical line: name==version ; marker --hash=... --hash=...
PINS = [line for line in re.sub(r"\\\n\s*", "", TEXT).splitlines() if line and not line.lstrip().startswith("#")]
INSTALLERS = {"pip", "uv", "posernn"}


def test_each_pin_has_one_version_and_hashes_and_there_is_no_address():
    assert len(PINS) > 50
    for pin in PINS:
        assert re.match(r"^[\w.\[\]-]+==[\w.+!]+( ; [^-]*?)? *--hash=sha256:[0-9a-f]{64}", pin), pin
    assert "://" not in TEXT


def test_what_is_installed_is_what_is_pinned():
    pinned = [Requirement(pin.split("--hash")[0].strip()) for pin in PINS]
    applying = {canonicalize_name(one.name): one for one in pinned if one.marker is None or one.marker.evaluate()}
    installed = {canonicalize_name(one.name): one.version for one in metadata.distributions()}
    assert installed.keys() - INSTALLERS == applying.keys()
    assert {name: installed[name] for name, one in applying.items() if installed[name] not in one.specifier} == {}
