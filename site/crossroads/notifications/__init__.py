"""What mail says: its templates' contexts, announcements, preview."""
