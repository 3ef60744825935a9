"""One request for a page by an operator who is signed in."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.responses import Response

from node.api.operator.figures import Figures
from node.api.operator.templating import page
from node.api.services import Services
from node.core.parties import Principal


@dataclass(frozen=True, slots=True)
class PageCall:
    """What a page is made of.

    Attributes:
        path: As requested.
        parameters: Parts of the path, by name.
    """

    services: Services
    figures: Figures
    principal: Principal
    path: str
    parameters: Mapping[str, str]
    query_string: bytes

    def page(self, template: str, **context: object) -> Response:
        """A page with the frame of everybody who is signed in."""
        amount = self.figures.amount
        frame = {"operator": self.principal.name, "path": self.path, "amount": amount}
        return page(template, {**frame, **context})


Handler = Callable[[PageCall], Awaitable[Response]]
