"""What lines of vLLM's logs mean: classes, tracebacks, marks of the lifecycle; without the words of users. Pure."""
