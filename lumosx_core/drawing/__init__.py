"""What is drawn for people: fonts and the contact sheet."""
