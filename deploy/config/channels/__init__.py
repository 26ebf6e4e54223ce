"""Channels to people, one module each; deploy/config/channel.py says what a channel is."""
