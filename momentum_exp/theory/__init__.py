"""The paper's theory as code: the derivation of the cell, and its argument on vanishing gradients."""
