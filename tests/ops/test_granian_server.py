"""Private names of granian: checked against one version, and used in one module only."""

import ast
import inspect
import re
import textwrap
from importlib.metadata import version

from granian.server import common, mp

from crossroads.ops import granian_server
from crossroads.ops.granian_server import GRANIAN, Persistent
from tests.support.paths import ROOT

MODULE = ROOT / "site/crossroads/ops/granian_server.py"


def test_granian_version_is_the_reviewed_one() -> None:
    installed = version("granian")
    assert installed == GRANIAN, (
        f"granian {installed} is installed, and ops/granian_server.py was written for {GRANIAN}: "
        "compare granian/server/common.py and mp.py of both versions with what Persistent uses, "
        "run tests/faults/test_serve.py and test_web_workers.py, then change GRANIAN"
    )


def test_private_names_that_persistent_uses_exist_in_granian() -> None:
    mine = _names(inspect.getsource(granian_server))
    own = _names(textwrap.dedent(inspect.getsource(Persistent.__init__)))
    granians = _names(inspect.getsource(common)) | _names(inspect.getsource(mp))
    assert {"_ssp", "_respawn_workers", "wrks"} <= mine - own
    assert mine - own - granians - {"_wait"} == set()
    for name in ("_serve_loop", "_spawn_worker"):
        assert callable(getattr(Persistent.__base__, name)), f"granian calls no {name} any more"


def _names(source: str) -> set[str]:
    """Return the attributes of `self` that a source uses."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def test_other_modules_import_only_public_names_of_granian() -> None:
    found = {
        (file.relative_to(ROOT / "site/crossroads").as_posix(), line.strip())
        for file in (ROOT / "site/crossroads").rglob("*.py")
        if file != MODULE
        for line in file.read_text("utf-8").splitlines()
        if re.match(r"\s*(from|import) _?granian", line)
    }
    assert found == {
        ("ops/server.py", "from granian.server.common import AbstractServer"),
        ("ops/server.py", "from granian.constants import HTTPModes, Interfaces"),
        ("ops/server.py", "from granian.log import LogLevels"),
    }
