"""Tables in Polars and Arrow: what they hold, how they are kept, how new ones are derived."""
