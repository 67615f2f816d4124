"""Stripe's API over HTTP: routes, idempotency, expansion, faults."""
