"""The public site: forms, error pages and views."""
