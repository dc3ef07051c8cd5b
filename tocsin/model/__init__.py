"""The nouns: frozen, keyword-only, valid once built."""
