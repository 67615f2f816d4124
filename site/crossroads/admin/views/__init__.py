"""Views of the desk; none imports another."""
