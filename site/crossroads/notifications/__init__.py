"""The content of mail: template contexts, announcements, preview."""
