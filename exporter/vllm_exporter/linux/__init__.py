"""Reads what Linux says of processes, sockets, files and its own log."""
