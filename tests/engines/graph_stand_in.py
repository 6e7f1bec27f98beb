"""CUDA graphs without a GPU: what torch's would do with memory, on a CPU."""

import torch


class StandIn:
    """torch.cuda.make_graphed_callables without a GPU: a replay reads and writes the same memory each time.

    Inputs are copied into the samples. Outputs and gradients are always the same tensors' memory. A backward replay
    goes through what the last forward replay left, whichever call it was for.
    """

    captures = 0

    def __init__(self, function, samples, allow_unused_input):
        assert all(tensor.is_leaf and tensor.is_contiguous() for tensor in samples)
        type(self).captures += 1
        self.function, self.samples, self.unused = function, samples, allow_unused_input
        self.wanted = [tensor for tensor in samples if tensor.requires_grad]
        self.live = function(*samples)
        self.outputs = [output.detach().clone() for output in self.live]
        self.gradients = [None] * len(self.wanted)

    def forward(self, inputs):
        for sample, given in zip(self.samples, inputs, strict=True):
            assert (sample.shape, sample.dtype) == (given.shape, given.dtype)
            sample.detach().copy_(given)
        self.live = self.function(*self.samples)
        for fixed, new in zip(self.outputs, self.live, strict=True):
            fixed.copy_(new.detach())
        return tuple(output.detach() for output in self.outputs)

    def backward(self, given):
        pairs = [pair for pair in zip(self.live, given, strict=True) if pair[0].requires_grad]
        outputs, grad_outputs = zip(*pairs, strict=True)
        found = torch.autograd.grad(outputs, self.wanted, grad_outputs, allow_unused=self.unused, retain_graph=True)
        for place, new in enumerate(found):
            if new is not None and self.gradients[place] is None:
                self.gradients[place] = torch.empty_like(new)
            if new is not None:
                self.gradients[place].copy_(new)
        gradients = iter(self.gradients)
        own = [next(gradients) if sample.requires_grad else None for sample in self.samples]
        return tuple(None if gradient is None else gradient.detach() for gradient in own)

    def __call__(self, *inputs):
        graphed = self

        class Graphed(torch.autograd.Function):
            @staticmethod
            def forward(ctx, *inputs):
                with torch.enable_grad():
                    return graphed.forward(inputs)

            @staticmethod
            def backward(ctx, *given):
                with torch.enable_grad():
                    return graphed.backward(given)

        return Graphed.apply(*inputs)
