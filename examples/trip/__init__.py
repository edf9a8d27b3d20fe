"""Trips: a seat, a room, a car and the money for them, from four companies; all of it or nothing."""
