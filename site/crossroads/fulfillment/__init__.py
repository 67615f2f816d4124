"""Keeps orders where Stripe has them: settlement, webhook events, reconciliation."""
