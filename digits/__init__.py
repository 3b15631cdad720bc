"""Images of digits: from pen strokes, pictures, MNIST and ten drawings, and how training augments them."""
