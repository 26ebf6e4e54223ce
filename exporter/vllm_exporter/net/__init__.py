"""Sends HTTP requests over TCP and Unix sockets; looks up names and checks certificates."""
