"""The production wheel: the app and the tables, without the sandbox and the tests."""

from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.build import build_wheel

from tests.support.paths import ROOT


def test_wheel_holds_only_the_app_and_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with ZipFile(tmp_path / build_wheel(str(tmp_path))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {
        file.relative_to(ROOT / root).as_posix()
        for root, package in (("site", "crossroads"), ("", "models"))
        for file in (ROOT / root / package).rglob("*.py")
    }
    assert expected <= names
    assert {name.split("/")[0] for name in names} == {"crossroads", "models"}
