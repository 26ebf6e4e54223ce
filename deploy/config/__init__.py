"""Renders the user's settings (.env and the environment) into configuration that the parts read.

`python -m deploy.config render --out .run` is what `make up` runs first; containers run the same code.
"""

from deploy.config.targets import server_name

__all__ = ["server_name"]
