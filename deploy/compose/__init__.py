"""Runs the parts in containers: docker-compose.yml with what is found on this host. Needs Python alone, no packages."""
