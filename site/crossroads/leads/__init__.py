"""Who signed up, with consent, search, import and the waiting list."""
