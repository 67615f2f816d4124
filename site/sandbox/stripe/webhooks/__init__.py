"""Webhooks: stored deliveries of events, and the thread that sends them."""
