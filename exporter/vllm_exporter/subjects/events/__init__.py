"""The events, as JSON lines in a file and in Loki."""
