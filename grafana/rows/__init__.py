"""Rows of panels that more than one board may show."""
