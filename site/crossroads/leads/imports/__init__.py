"""Lists from other programs: read, judged, imported, taken back."""
