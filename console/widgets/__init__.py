"""What the screens are made of: lines of text and lists of lines."""
