"""The shells that two programs share; the only asyncio in `protocol`."""
