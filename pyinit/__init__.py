"""pyinit: PID 1 for Node containers, with a reverse proxy that drains before the app is signalled."""

__version__ = "0.1.0"
