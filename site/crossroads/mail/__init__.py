"""Addresses and mail: who may be sent what, the outbox, the message, the transport."""
