"""Who looks at what: recording attention, measuring it, drawing it."""
