"""Setup shared by every test. The fixtures are in tests/support, by what they set up."""

import os

import pytest

from crossroads.settings import Settings

# A module comes after the modules that it imports: pytest rewrites the assertions of a module when
# it is loaded.
pytest_plugins = [
    "tests.support.compiled",
    "tests.support.memory",
    "tests.support.passwords",
    "tests.support.databases",
    "tests.support.mail_server",
    "tests.support.mailed_links",
    "tests.support.apps",
    "tests.support.purchases",
    "tests.support.sandbox_fixtures",
    "tests.support.fulfillment",
    "tests.support.accounts_at_stripe",
]

# No environment variable of the machine may influence a test.
for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run one test process more than there are processors, because each waits at times.

    https://pytest-xdist.readthedocs.io/en/stable/distribution.html
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (cores or 1) + 1
