"""The proxy between the healer and Docker's socket."""
