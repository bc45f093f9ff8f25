"""One module per choice: a pure function from a situation, the evidence and earlier choices."""
