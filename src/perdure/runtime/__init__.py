"""Between the edge and the engine: finds runs, lets the engine decide, commits in groups, and only then publishes."""
