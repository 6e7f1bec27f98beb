"""Timing of engines against torch.nn.LSTM: interleaved, each contender in its own process."""
