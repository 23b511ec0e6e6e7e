"""Images, masks and videos as pixels."""
