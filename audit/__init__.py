"""Proof, beside the road: was all that was accepted decided, sent and kept, and can a second program check it?"""
