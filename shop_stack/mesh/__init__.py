"""The way between services and from the outside in: Envoy's configuration and calls with a deadline."""
