"""Views: a request in, a response out."""
