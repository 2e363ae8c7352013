"""The language of LambdaLR: its grammar, its values and what they cost."""
