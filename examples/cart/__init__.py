"""A cart over its whole life: filled, reminded of, checked out or given up."""
