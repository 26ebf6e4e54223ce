"""Facts, events and shared words: all that subjects may know of each other."""
