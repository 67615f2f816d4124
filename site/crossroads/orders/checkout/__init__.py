"""From the order form to a checkout: placement, held seats, the queue and lost checkouts."""
