"""The desk: access, forms, lists and views."""
