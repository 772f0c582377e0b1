"""Networks: [0, 1] pixels (N, 1, 28, 28) in, logits (N, 10) out. They know torch and nothing of training."""
