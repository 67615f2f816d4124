"""Imports of lists from other programs: read, check, add, undo."""
