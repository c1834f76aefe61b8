"""Store: an account at MEGA, whose files are encrypted before they leave this machine."""
