"""What the lines of logs mean."""
