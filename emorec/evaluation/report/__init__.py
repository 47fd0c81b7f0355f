"""Reports of runs: one self-contained HTML page of a run, or of several beside it."""
