"""Background processes: mail delivery, events, sweeps, retention, search index."""
