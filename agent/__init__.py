"""The agent: a service process, one desktop process per OS session, screen and exec workers."""
