"""Why a vLLM server does not move, or that it does: rules over what was seen, without any input or output."""
