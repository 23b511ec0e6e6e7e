"""Prompts and phrases: where a phrase occurs, which tokens it covers, what is said about it."""
