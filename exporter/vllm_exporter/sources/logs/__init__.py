"""Logs: files, journald, Docker, the kernel's."""
