"""Which replicas get requests: one endpoint file a service, replaced by rename so that Envoy sees whole files only."""

import json
import os
from collections.abc import Iterable

from shop_stack.mesh.clusters import Endpoint, assignment
from shop_stack.mesh.envoy import EnvoyFiles

_ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


class EndpointFiles:
    """Writes the endpoint files; one writer a home. An in-place write would be ignored by Envoy, a rename is not."""

    def __init__(self, files: EnvoyFiles) -> None:
        self._files = files
        self._version = 0
        files.endpoints.mkdir(parents=True, exist_ok=True)

    def write(self, services: Iterable[str], endpoints: list[Endpoint]) -> None:
        """Send requests of these services to these places."""
        self._version += 1
        for service in services:
            resource = {"@type": _ASSIGNMENT, **assignment(service, endpoints)}
            document = {"version_info": str(self._version), "resources": [resource]}
            path = self._files.endpoint_file(service)
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(document))
            os.replace(fresh, path)
