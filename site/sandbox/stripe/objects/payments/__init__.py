"""Payments: payment intents, charges, refunds and disputes."""
