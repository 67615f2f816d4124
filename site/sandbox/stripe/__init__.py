"""The Stripe sandbox: API, payment page, webhooks and control page of a Stripe stand-in."""
