"""One file per way in: how a request becomes uploads."""
