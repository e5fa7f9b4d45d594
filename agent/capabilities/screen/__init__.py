"""Capability `screen`: the service passes pictures on unread; the worker process alone captures."""
