"""What an OpenTelemetry collector is told of a process: spans and metrics. Without one nothing is made or sent."""
