"""Face: HTTP. It knows operations, ports and model, and never a plug."""
