"""In which of 42 states a vLLM server is: a table, a fold of evidence into a state, durations. Pure, no I/O."""
