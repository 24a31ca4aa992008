"""report.html: one page with the scores and every item of a test."""
