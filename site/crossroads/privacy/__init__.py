"""One person's data: export, erase, retention."""
