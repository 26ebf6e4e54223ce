"""The settings: exporter.yml, environment variables and flags, checked and read once."""
