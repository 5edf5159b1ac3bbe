"""Running services: what a service's card says, which services share a process, and the process itself."""
