"""Training: configurations, devices, objectives, fitting, and whole experiments."""
