"""Checkout: sessions, what they sell, discounts, invoices, and attempts to pay."""
