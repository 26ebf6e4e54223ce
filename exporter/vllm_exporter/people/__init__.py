"""Commands for people: status, hang-report."""
