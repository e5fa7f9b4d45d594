"""The process that runs one approved command, and how the service speaks to it."""
