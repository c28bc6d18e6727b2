"""The loop level: every target language is printed from here."""
