"""Pages and assets for browsers."""
