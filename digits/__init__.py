"""What a digit is: ink as pixels, MNIST, ten drawings, and the augmentation that training adds."""
