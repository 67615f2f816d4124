"""The sandbox as fixtures: listening, delivering, and the SDK that talks to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from stripe import StripeClient

from tests.support.sandbox_server import Endpoint, SandboxServer, start


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxServer]:
    """A running Stripe sandbox with its own account. It sends no webhooks."""
    server = start(tmp_path / "sandbox")
    yield server
    server.stop()


@pytest.fixture
def sdk(sandbox: SandboxServer) -> StripeClient:
    """The SDK, with the sandbox as its server."""
    return sandbox.client()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A webhook endpoint."""
    receiver = Endpoint().start()
    yield receiver
    receiver.stop()


@pytest.fixture
def delivering(tmp_path: Path, endpoint: Endpoint) -> Iterator[SandboxServer]:
    """A sandbox that sends webhooks to the endpoint."""
    server = start(tmp_path, endpoint.url)
    yield server
    server.stop()
