"""Puts the parts together on a machine: config renders the user's settings, native runs them without containers."""
