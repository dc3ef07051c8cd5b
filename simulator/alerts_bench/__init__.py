"""How long from a finding to the téléassistance, and is anything lost on the way? ``tocsin bench alerts``."""
