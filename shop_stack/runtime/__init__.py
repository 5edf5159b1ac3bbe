"""What starts, watches, scales and stops the processes of a stack."""
