"""Many independent trainings: one after another, in processes, or on a Ray cluster."""
