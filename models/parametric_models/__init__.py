"""Networks whose shape comes from arguments."""
