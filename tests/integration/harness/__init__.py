"""What the integration tests stand on: the real programs, seen from outside."""
