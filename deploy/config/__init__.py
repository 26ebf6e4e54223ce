"""Renders the user's settings (.env and the environment) into configuration that the parts read.

`make up` renders before it starts anything; in containers the service `config` runs the same code.
"""

from deploy.config.targets import server_name

__all__ = ["server_name"]
