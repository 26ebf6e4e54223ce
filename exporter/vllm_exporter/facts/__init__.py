"""What subjects may know of each other: facts, events, and the words that they share."""
