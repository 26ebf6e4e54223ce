"""Runs collectors: their base class, their schedule, and their CPU budget."""
