"""Commands for people: status, hang-report, log-report."""
