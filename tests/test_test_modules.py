"""Layout of the tests: each test module mirrors a module, and none imports another one."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

TESTS = ROOT / "tests"
WHOLE_PRODUCT = {"benchmarks", "browser", "faults"}  # packages that hold only journeys
# Journeys: test modules that cover several modules of the site, by the package they start in.
JOURNEYS = {
    "": {"architecture", "states", "test_modules", "wheel", "wording"},
    "admin": {"announcement_forms", "disputes", "refunds"},
    "cli": {"commands"},
    "content": {"mistakes"},
    "database": {"migrated_rows", "migrations"},
    "export": {"kinds", "orders", "separators"},
    "fulfillment": {"payments_elsewhere", "refund_trouble", "site_identity"},
    "leads": {"folding", "import_files", "import_formats", "import_programs", "import_undo"},
    "mail": {"pasted_addresses", "pasted_names"},
    "middleware": {"rate_limits_without_file"},
    "notifications": {"order_mails"},
    "ops": {"doctor_stripe"},
    "orders": {"checkout_queue"},
    "payments": {"gateway_trouble", "stripe_fields"},
    "privacy": {"personal_data"},
    "sandbox": {"fields", "lists", "modes", "refusals"},
    "web": {
        "checkout_options", "course_page", "currencies", "enroll_page", "form_bodies",
        "mailed_links", "mangled_links", "participants_page", "signup_links", "stripe_trouble",
    },
}  # fmt: skip


def imported(file: Path) -> Iterator[str]:
    """Yield the dotted name of each module, or of each member of one, that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_test_module(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "tests" and any(
        part == "conftest" or part.startswith("test_") for part in parts[1:]
    )


def test_no_module_imports_a_test_module() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in sorted(TESTS.rglob("*.py"))
        for name in imported(file)
        if is_test_module(name)
    ]
    assert wrong == [], "what test modules share belongs to tests/support"


def test_each_test_module_mirrors_a_module_or_is_a_listed_journey() -> None:
    found: dict[str, set[str]] = {}
    for file in TESTS.rglob("test_*.py"):
        package = file.parent.relative_to(TESTS).as_posix().removeprefix(".")
        if package not in WHOLE_PRODUCT:
            source = ROOT / "site" / (package if package == "sandbox" else f"crossroads/{package}")
            mirrored = {one.stem for one in source.rglob("*.py")}
            mirrored |= {one.parent.name for one in source.rglob("__init__.py")}
            if (name := file.stem.removeprefix("test_")) not in mirrored:
                found.setdefault(package, set()).add(name)
    assert found == JOURNEYS, "name a test module after what it tests, or name its journey here"
