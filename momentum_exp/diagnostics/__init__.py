"""What is measured beside the loss: gradient norms through time, gate saturation, parameters' gradients."""
