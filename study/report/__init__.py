"""The report: results of all runs and studies as a page, as Markdown and as JSON."""
