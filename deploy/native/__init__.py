"""Runs the parts on this machine without containers, under supervisord: `python -m deploy.native up|down|status|logs`.

Everything is below `.run/` and listens on loopback. Nothing here supervises: supervisord does.
"""
