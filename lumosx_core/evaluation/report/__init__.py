"""What is written about scores: sentences, a chart, JSON and an HTML page that needs nothing but itself."""
