"""What the kernel says of the host, a module a subject: bytes of /proc and /sys to series and numbers."""
