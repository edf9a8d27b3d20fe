"""A subscription that lasts a year, and its test, which takes less than a second."""
