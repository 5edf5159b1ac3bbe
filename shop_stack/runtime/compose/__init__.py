"""The runtime on Docker Compose: one component alone holds the Engine's socket, and does four things with it."""
