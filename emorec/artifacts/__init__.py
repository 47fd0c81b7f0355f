"""What is written and read back: run folders, specs, safe pickles, tables."""
