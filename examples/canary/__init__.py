"""A canary deployment: a new version gets a little traffic, is watched, and gets more, or none any more."""
