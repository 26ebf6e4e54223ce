"""HTTP requests over TCP and Unix sockets; names and certificates."""
