"""Leads: sign-up, consent, search, import and the waiting list."""
