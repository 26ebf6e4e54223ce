"""The pipeline: correlate, diagnose, choose, guard, act, verify, learn. Each takes a value and returns one."""
