"""Programs of the Python SDK in skipped time, each on every server that can skip it. See `programs.py`."""
