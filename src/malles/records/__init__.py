"""The tables a run leaves behind, to be analysed afterwards: what each means, and how it is filled."""
