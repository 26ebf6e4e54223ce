"""Made-up days on which nothing is wrong, and which alerts fire on them."""
