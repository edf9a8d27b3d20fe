"""Programs that show Perdure at work, each run in CI."""
