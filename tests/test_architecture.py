"""Rules of the architecture, checked on the code and the docs."""

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pytest
from flask import Flask
from flask.testing import FlaskClient

from crossroads.database import schema
from crossroads.settings import Settings
from tests.support.paths import ROOT

# Packages whose functions work in their caller's transaction.
DOMAIN = {"content", "export", "leads", "mail", "notifications", "orders", "payments", "privacy",
          "staff"}  # fmt: skip
HEAVY = {"alembic", "dns", "flask_migrate", "icalendar", "markdown_it", "nh3", "psycopg",
         "resvg_py", "rich", "smtplib", "stripe"}  # fmt: skip
FLASKS_OWN = {"db", "limiter", "routes", "run", "shell"}  # commands of Flask and its extensions


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the file of each module of the product."""
    for root, folder in (("site", "crossroads"), ("site", "sandbox"), ("", "models")):
        for file in sorted((ROOT / root / folder).rglob("*.py")):
            if "migrations" not in file.parts:
                parts = file.relative_to(ROOT / root).with_suffix("").parts
                yield ".".join(parts).removesuffix(".__init__"), file
    yield "wsgi", ROOT / "wsgi.py"


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def test_domain_never_commits() -> None:
    wrong = [
        module
        for module, file in modules()
        if DOMAIN.intersection(module.split(".")[1:2])
        and re.search(r"\.(commit|rollback)\(\)", file.read_text(encoding="utf-8"))
    ]
    assert wrong == []


def test_web_server_imports_no_heavy_library_at_start() -> None:
    """Importing one of these takes a large part of the time that the whole site takes."""
    script = f"import sys, wsgi; print(*set(sys.modules) & {HEAVY})"
    with TemporaryDirectory() as instance:
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "INSTANCE": instance},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert done.stdout.split() == []


def test_site_is_a_source_root_tracked_by_git() -> None:
    assert not (ROOT / "site" / "__init__.py").exists()
    ignored = subprocess.run(
        ["git", "check-ignore", "site/crossroads/__init__.py", "site"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ignored.stdout == ""


def test_no_secret_registry_or_machine_path_is_in_the_tree() -> None:
    hosts = "|".join(("python" + "hosted", "py" + "pi", "npm" + "js", "deb" + "ian"))
    wrong = []
    for name in tracked():
        data = (ROOT / name).read_bytes()
        if b"\0" in data:
            continue
        text = data.decode()
        if re.search(rf"\b(?:{hosts})\.(?:org|com)\b", text):
            wrong.append(f"{name}: names a package registry")
        if re.search(r"/(?:home|root|Users)/\w+/", text):
            wrong.append(f"{name}: holds a path of one machine")
        if re.search(r"\bsk_live_\w{10}|\bwhsec_\w{20}", text):
            wrong.append(f"{name}: holds a key")
    assert wrong == []


def test_every_desk_route_asks_for_sign_in(app: Flask, client: FlaskClient) -> None:
    asked = 0
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/admin") or rule.endpoint.endswith(".login"):
            continue
        address = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in (rule.methods or set()) - {"OPTIONS"}:
            answer = client.open(address, method=method)
            signed_out = answer.status_code in (302, 303) and "/admin/login" in answer.location
            assert signed_out or answer.status_code in (401, 403), (
                f"{method} {rule.rule} answers {answer.status_code} without sign-in: "
                "make its blueprint with access.blueprint()"
            )
            asked += 1
    assert asked >= 6


def test_every_view_is_part_of_the_site(app: Flask) -> None:
    """No other test fails for a view that is not registered."""
    registered = {view.__module__ for view in app.view_functions.values()}
    views = {
        f"crossroads.{file.parts[-3]}.views.{file.stem}"
        for file in (ROOT / "site" / "crossroads").glob("*/views/*.py")
        if file.stem != "__init__"
    }
    assert len(views) > 10
    assert views - registered == set()


def page(name: str) -> str:
    """Return the text of a page for contributors and operators, like docs/settings.md."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_setting_is_in_the_docs_and_the_other_way_round() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", page("docs/settings.md"), re.M))
    assert documented == {name.upper() for name in Settings.model_fields}


def test_default_of_every_setting_is_in_the_docs() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| .+ \| (.+) \|$", page("docs/settings.md"), re.M)
    documented = dict(rows)
    for name, field in Settings.model_fields.items():
        default = str(field.default).lower() if field.annotation is bool else str(field.default)
        if name != "metrics_token" and field.default != "":
            assert documented[name.upper()] == default, name


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield each command of ours with its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        if before or name not in FLASKS_OWN:
            command = group.get_command(context, name)
            assert command is not None and command.name == name
            if isinstance(command, click.Group):
                yield from commands(command, f"{before}{name} ")
            else:
                yield f"{before}{name}", command


def test_every_command_and_option_is_in_the_docs_and_the_other_way_round(app: Flask) -> None:
    rows = re.findall(
        r"^\| `flask ([a-z]+(?: [a-z]+)?).*?` \|(.*)\|(.*)\|$", page("docs/commands.md"), re.M
    )
    documented = {
        name: set(re.findall(r"`(--[a-z-]+)", options))
        for name, _, options in rows
        if name.split()[0] not in FLASKS_OWN
    }
    ours = {
        name: {
            one
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for one in parameter.opts
        }
        for name, command in commands(app.cli)
    }
    assert documented == ours
    assert "db upgrade" in {name for name, _, _ in rows}


def links() -> Iterator[tuple[str, str]]:
    """Yield each link of a page to another one or to a heading, with the page that it is on."""
    for name in tracked():
        if name.endswith(".md"):
            for target in re.findall(r"\]\(([^)\s]+)\)", page(name)):
                if "://" not in target and not target.startswith("mailto:"):
                    yield name, target


def test_every_link_between_pages_has_a_target() -> None:
    wrong = []
    for name, target in links():
        file, _, heading = target.partition("#")
        there = (ROOT / name).parent / file if file else ROOT / name
        if not there.exists() or (heading and heading not in headings(there)):
            wrong.append(f"{name}: {target}")
    assert wrong == []


def test_every_test_named_in_the_docs_exists() -> None:
    named = {
        one
        for name in tracked()
        if name.endswith(".md")
        for one in re.findall(r"`(tests/[a-z_/]+\.py)(?:::(\w+))?", page(name))
    }
    assert len(named) > 15
    for file, test in named:
        assert f"def {test}" in page(file), f"{file}::{test}"


def headings(file: Path) -> set[str]:
    """Return the headings of a page as GitHub names them in addresses."""
    found = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in found}


def test_every_decision_record_has_all_its_parts() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert len(files) >= 8
    for number, file in enumerate(files, 1):
        text = file.read_text(encoding="utf-8")
        assert file.name.startswith(f"{number:04}-") and text.startswith(f"# {number}. ")
        for part in ("Context", "Decision", "Measured", "What would change it"):
            assert f"**{part}.**" in text, f"{file.name}: {part}"


def test_changelog_names_the_newest_migration() -> None:
    assert schema.HEAD in page("CHANGELOG.md")


def test_readme_fits_one_screen() -> None:
    assert len(page("README.md").splitlines()) <= 90


def test_every_make_target_has_a_description() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)[0].split()
    explained = re.findall(r"^([a-z-]+):.*## .+", makefile, re.M)
    assert sorted(phony) == sorted(explained)
    named = set(re.findall(r"\bmake ([a-z]+)\b", page("README.md")))
    assert named <= set(phony)
    assert {"serve", "test"} <= named


def test_every_address_is_in_the_docs_and_the_other_way_round(app: Flask) -> None:
    table = re.findall(r"^\| ((?:`/[^|]*)) \|", page("docs/addresses.md"), re.M)
    documented = {address for row in table for address in re.findall(r"`(/[^`]*)`", row)}
    routes = {re.sub(r"<\w+:", "<", rule.rule) for rule in app.url_map.iter_rules()}
    assert documented == routes


def test_modules_have_at_most_350_lines() -> None:
    long = {
        module: lines
        for module, file in modules()
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 350
    }
    assert long == {}


def test_template_lines_have_at_most_160_characters() -> None:
    """Text files are left out: each of their lines is one paragraph of a mail."""
    long = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in (ROOT / "templates").rglob("*")
        if file.suffix in (".html", ".svg")
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 160
    ]
    assert long == []


def test_sandbox_packages_have_at_most_12_modules() -> None:
    packages = Counter(
        file.parent.relative_to(ROOT).as_posix()
        for module, file in modules()
        if module.startswith("sandbox") and file.name != "__init__.py"
    )
    assert {folder: count for folder, count in packages.items() if count > 12} == {}
    assert len(packages) >= 7


# General work is left to well-maintained libraries, even where a few lines of our own would be
# faster. A library that slows the start is imported only where it is needed.
LEFT_TO_LIBRARIES = {
    "limiting rates": "flask-limiter",
    "migrating tables": "flask-migrate",
    "writing structured logs": "structlog",
    "reading settings": "pydantic-settings",
}


@pytest.mark.parametrize(("work", "library"), LEFT_TO_LIBRARIES.items())
def test_general_work_is_left_to_a_library(work: str, library: str) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = {re.split(r"[^\w-]", one)[0] for one in declared["project"]["dependencies"]}
    assert library in names, (
        f"{work} is left to {library}: a well-kept library, even a slower one, goes before code of"
        " our own. Bring it back, and import it only where it is needed"
    )
