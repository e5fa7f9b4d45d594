"""The technician's side: command line, relay link, sessions and console."""
