"""Reads processes, sockets, files and the kernel's log on Linux."""
