"""The API over HTTP: routes, idempotency, expansion, injected faults."""
