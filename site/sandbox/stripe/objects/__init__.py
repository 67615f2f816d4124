"""Stripe's objects: how each is created and changed."""
