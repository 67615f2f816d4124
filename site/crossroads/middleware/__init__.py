"""In front of Flask and around requests: pages from memory, bodies, limits, headers, log."""
