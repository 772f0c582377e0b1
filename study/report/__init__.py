"""The report: results of all runs and studies as a page and as the README's Study section."""
