"""Speed, as ratios to a peer or to a limit, each taken in one process."""
