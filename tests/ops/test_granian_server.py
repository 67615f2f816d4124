"""What the site knows of granian's inside belongs to one version."""

from importlib.metadata import version

from crossroads.ops.granian_server import GRANIAN, Persistent


def test_version_is_the_one_whose_private_methods_are_known() -> None:
    assert version("granian").rpartition(".")[0] == GRANIAN
    for name in ("_serve_loop", "_spawn_worker", "_respawn_workers", "_reload"):
        assert callable(getattr(Persistent, name))
