"""The demo: three simulated servers and the whole stack, natively; one is broken, and the terminal follows the loop.

`python -m deploy.demo up|break|story|list|down|record`; everything is below `.run-demo/` and listens on loopback.
"""
