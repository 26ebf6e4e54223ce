"""One module a collector; the module's name is the collector's name."""
