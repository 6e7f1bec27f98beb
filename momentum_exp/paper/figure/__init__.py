"""The paper's figures as `conf/figure` describes them, drawn from finished runs: one module a way of drawing."""
