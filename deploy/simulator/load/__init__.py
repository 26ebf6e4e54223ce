"""Clients: a bounded load generator, and the clients that some failures need."""
