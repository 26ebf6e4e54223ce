"""What stands between the healer and Docker's socket."""
