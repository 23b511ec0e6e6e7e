"""The connection to the page: routes, notices, titles of nodes, and translation of earlier prompts."""
