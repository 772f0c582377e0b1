"""Scripts of the data inspection."""
