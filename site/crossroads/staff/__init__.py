"""Accounts of staff."""
