# pint --offline lint alerts rules
checks {
  # Groups run in parallel and read each other's series up to one evaluation old: 5 s, which every `for` allows for.
  disabled = ["rule/dependency"]
}
