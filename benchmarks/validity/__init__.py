"""How often true nulls are rejected and real effects found, by generators outside the package."""
