"""Plug: any remote that rclone knows, by an `rclone rcd` of our own on a unix socket."""
