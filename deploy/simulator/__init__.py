"""A simulated vLLM 0.32: its HTTP interface, metrics, processes and failures, around a model of its engine.

For the demo, for tests and for trying alert rules on many servers. Nothing is computed by a model: answers are words.
"""
