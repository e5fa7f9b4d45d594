"""The relay: log-ins, presence, rendezvous, and workers that forward what they cannot read."""
