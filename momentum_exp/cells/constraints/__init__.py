"""How a recurrent weight is kept orthogonal, unitary or nearly so: one file for each parametrization."""
