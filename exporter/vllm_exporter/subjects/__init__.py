"""One room for each subject: what reads it, what is decided from it, its collectors and its metric families."""
