"""Arrays to batches: the ragged store, padding with masks, epoch order, pipelines."""
