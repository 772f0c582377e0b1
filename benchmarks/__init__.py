"""Speed against peers and against a bare loop."""
