"""What only the serving process knows, handed to the exporter without touching vLLM. Standard library only."""
