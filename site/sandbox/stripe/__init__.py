"""The Stripe sandbox: API, payment page, webhooks and control page."""
