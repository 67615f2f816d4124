"""Stripe's objects as the sandbox makes and changes them."""
