"""Middleware: page cache, request bodies, rate limits, security headers, request log."""
