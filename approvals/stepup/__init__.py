"""Step-up: a second factor that a person gives before they approve what is risky."""
