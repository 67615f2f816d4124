"""Makes orders match Stripe: settlement, webhook events, reconciliation, recovery."""
