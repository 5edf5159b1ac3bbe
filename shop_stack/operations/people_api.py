"""The operations API's routes to a person's data, for administrators; its certificate is for managers too."""

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter

from shop_stack.access import Principal
from shop_stack.operations.people import People
from shop_stack.operations.people_model import (
    ErasureView,
    PersonErasureRequest,
    PersonExportRequest,
    PersonFindRequest,
    PersonFound,
)

Asked = Request[Any, Any, Any]
_EXPORT = {200: ResponseSpec(dict[str, Any], generate_examples=False, description="The person's data.")}
PersonId = Annotated[str, PathParameter(min_length=1, max_length=64)]


def people_routes(people: People, certify: list[Any], handle: list[Any]) -> list[HTTPRouteHandler]:
    """`certify` and `handle` are the guards of who may see certificates, and who may export and erase."""

    @post("/ops/v1/customers/find", guards=handle, sync_to_thread=True, status_code=200)
    def find_person(request: Asked, data: JSONBody[PersonFindRequest]) -> PersonFound:
        """The id of the person who has this e-mail."""
        return people.find(data, _who(request))

    @post(
        "/ops/v1/customers/{customer_id:str}/export",
        guards=handle,
        sync_to_thread=True,
        status_code=200,
        responses=_EXPORT,
    )
    def export_person(request: Asked, customer_id: PersonId, data: JSONBody[PersonExportRequest]) -> Response[bytes]:
        """All that the shop knows of a person (GDPR 15, 20)."""
        told = people.export(customer_id, data, _who(request))
        return Response(bytes(told), media_type="application/json", headers={"Cache-Control": "no-store"})

    @post("/ops/v1/customers/{customer_id:str}/erasure", guards=handle, sync_to_thread=True, status_code=202)
    def erase_person(request: Asked, customer_id: PersonId, data: JSONBody[PersonErasureRequest]) -> ErasureView:
        """Erase a person once their open orders have ended (GDPR 17); the answer comes before the effect."""
        return people.erase(customer_id, data, _who(request))

    @get("/ops/v1/customers/{customer_id:str}/erasure", guards=certify, sync_to_thread=True)
    def show_erasure(customer_id: PersonId) -> ErasureView:
        """How far a person's erasure is, and what was erased where."""
        return people.certificate(customer_id)

    return [find_person, export_person, erase_person, show_erasure]


def _who(request: Asked) -> Principal:
    principal: Principal = request.state.principal
    return principal
