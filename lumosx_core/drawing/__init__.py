"""Drawing: fonts and the contact sheet."""
