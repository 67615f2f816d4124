"""Rate limits on a disk that becomes full. Needs root, to mount a small disk."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossroads.middleware import rate_limits
from crossroads.middleware.rate_limits import SCHEME, CounterFile


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> Path:
    """Write until the disk has no free byte."""
    file = disk / "filler"
    with file.open("wb", buffering=0) as filler:
        try:
            while filler.write(b"x" * 512):
                pass
        except OSError as error:
            assert "No space left" in str(error)
    return file


@pytest.mark.parametrize("before", [0, 5], ids=["new", "in use"])
def test_limits_work_on_a_full_disk_and_are_stored_again_afterwards(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr(rate_limits, "RETRY_SECONDS", 0.2)
    uri = f"{SCHEME}://{small_disk / 'limits.db'}"
    counters = CounterFile(uri)
    for _ in range(before):
        counters.incr("key", 600)
    filler = fill(small_disk)
    # Other keys, until the file has no free pages left either.
    for number in range(3000):
        counters.incr(f"someone else {number}", 600)
    over = [counters.incr_up_to_the_first_over([("key", 600, before + 10)]) for _ in range(30)]
    assert over[-1] is not None, "who tries 30 times is stopped"
    filler.unlink()
    time.sleep(0.3)
    # The next write needs free space in the write-ahead log again.
    assert counters.incr("key", 600) > before + 10
    counters.close()
    again = CounterFile(uri)
    assert again.get("key") > before + 10
    again.close()
