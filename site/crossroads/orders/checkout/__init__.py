"""Orders on their way to Stripe: seats held, requests, the queue, and what got lost."""
