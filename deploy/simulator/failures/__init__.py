"""The failures: what can be broken, how it is switched, and what of it outlives the process."""
