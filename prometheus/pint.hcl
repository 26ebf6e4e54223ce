# How `make check` runs pint on rules and alerts: without a Prometheus to ask, and whatever it warns of fails.

checks {
  disabled = [
    # Groups differ in their interval by design: histograms are read every 15 s, what decides about restarts every 5 s. A value that is
    # one evaluation old is meant, and within the `for` of whatever reads it.
    "rule/dependency",
    # `for: 0s` is written out, for each `for` has its reason beside it.
    "alerts/for",
  ]
}

check "promql/regexp" {
  # Log classes ("dp.", "lora."), request paths and Prometheus' own names of groups of rules are paths: their beginning is a level of its own.
  smelly = false
}
