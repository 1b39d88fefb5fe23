"""Sockets in, sockets out: the reverse proxy."""
