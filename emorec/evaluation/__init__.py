"""Views of scores, metrics from saved predictions, tables and figures."""
