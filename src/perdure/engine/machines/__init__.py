"""The machines, one file a subject. Each is a set of functions on a `Transition`: they check, record events, and change
what no event carries."""
