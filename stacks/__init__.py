"""What a stack asks for: typed, checked and sized before any resource exists."""
