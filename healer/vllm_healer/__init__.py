"""Heals vLLM servers: journal, correlate, diagnose, choose, guard, act, verify, learn."""
