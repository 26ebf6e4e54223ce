"""Runs the parts in containers: docker-compose.yml with what this host has. Needs no package but Python's own."""
