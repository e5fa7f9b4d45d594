"""The core that every program shares: messages, machines, identity, tunnel. See PROTOCOL.md."""
