"""The sandbox: stands in for Stripe and for the mail server, in development and in tests."""
