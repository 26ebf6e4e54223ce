"""vLLM servers, by what they answer."""
