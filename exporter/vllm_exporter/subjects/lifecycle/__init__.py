"""In which of 42 states each server is."""
