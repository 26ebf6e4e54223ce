"""One module a board: its name is the JSON's, and it defines BOARD."""
