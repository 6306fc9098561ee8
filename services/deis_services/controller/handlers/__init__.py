"""Answers of the API's endpoints, by noun; `HANDLERS` of each module maps names of the table."""
