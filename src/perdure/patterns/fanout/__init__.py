"""Many activities or child workflows at once, a bounded number of them at a time: see `fan_out`."""
