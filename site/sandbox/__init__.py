"""The sandbox: replaces Stripe and the mail server in development and in tests."""
