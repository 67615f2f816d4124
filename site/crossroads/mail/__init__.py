"""Addresses and mail: eligibility, the outbox, the message, SMTP."""
