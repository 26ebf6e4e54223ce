"""What can be broken, how it is switched, and what of it outlives the process."""
