"""What benchmarks/exporter.py measures, a module a subject."""
