"""Reports of evaluations: scores, tables, charts, the HTML page."""
