"""`corridor webhooks ...` and `corridor listen`: names, arguments and help. See `node.cli.app`."""

from typing import Annotated

import typer

from node.cli.connection import Where
from node.cli.options import AsJson, Cursor, Limit, asks_a_node

webhooks_app = typer.Typer(
    no_args_is_help=True, help="Events sent to URLs: endpoints, what was sent, sending it again."
)

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT_ID", help="whe_...")]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event", metavar="TYPE", help="transfer, or transfer.settled; again for more. None: all."
    ),
]


@webhooks_app.command("list")
@asks_a_node
def list_(
    where: Where, limit: Limit = None, cursor: Cursor = None, as_json: AsJson = False
) -> None:
    """List endpoints, newest first.

    Example: [bold]corridor webhooks list[/]
    """
    from node.cli import webhooks
    from node.cli.documents import given

    webhooks.endpoints(where, given(limit=limit, cursor=cursor), as_json=as_json)


@webhooks_app.command()
@asks_a_node
def create(
    where: Where,
    target: Annotated[str, typer.Argument(metavar="URL", help="https://...")],
    event: Events = None,
    partner: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Whose events, par_...; an operator's default: all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have events sent to a URL. The secret that signs them is shown once.

    Example: [bold]corridor webhooks create https://example.com/hook --event transfer[/]
    """
    from node.cli import webhooks

    webhooks.create(where, target, event or (), partner, as_json=as_json)


@webhooks_app.command()
@asks_a_node
def rotate(
    where: Where,
    endpoint_id: EndpointId,
    keep_s: Annotated[
        int | None,
        typer.Option(
            "--keep", metavar="SECONDS", min=0, help="How long the old one signs too; a day."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a new secret, which is shown once; for a while the one before signs as well.

    Example: [bold]corridor webhooks rotate whe_... --keep 3600[/]
    """
    from node.cli import webhooks

    webhooks.rotate(where, endpoint_id, keep_s, as_json=as_json)


@webhooks_app.command("test")
@asks_a_node
def send_test(where: Where, endpoint_id: EndpointId, as_json: AsJson = False) -> None:
    """Send a `webhook.test`.

    Example: [bold]corridor webhooks test whe_...[/]
    """
    from node.cli import webhooks

    webhooks.test(where, endpoint_id, as_json=as_json)


@webhooks_app.command()
@asks_a_node
def disable(where: Where, endpoint_id: EndpointId, as_json: AsJson = False) -> None:
    """Send nothing more to an endpoint; what is pending is canceled.

    Example: [bold]corridor webhooks disable whe_...[/]
    """
    from node.cli import webhooks

    webhooks.change(where, endpoint_id, "disable", as_json=as_json)


@webhooks_app.command()
@asks_a_node
def enable(where: Where, endpoint_id: EndpointId, as_json: AsJson = False) -> None:
    """Send the events from now on to an endpoint that was disabled.

    Example: [bold]corridor webhooks enable whe_...[/]
    """
    from node.cli import webhooks

    webhooks.change(where, endpoint_id, "enable", as_json=as_json)


@webhooks_app.command()
@asks_a_node
def deliveries(
    where: Where,
    endpoint_id: EndpointId,
    status: Annotated[
        str | None, typer.Option(help="pending, delivered, dead or canceled.")
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List what was and is to be sent to an endpoint, newest first.

    Example: [bold]corridor webhooks deliveries whe_... --status dead[/]
    """
    from node.cli import webhooks
    from node.cli.documents import given

    query = given(status=status, limit=limit, cursor=cursor)
    webhooks.deliveries(where, endpoint_id, query, as_json=as_json)


@webhooks_app.command()
@asks_a_node
def show(
    where: Where,
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY_ID", help="del_...")],
    as_json: AsJson = False,
) -> None:
    """Show a delivery and every attempt that was made, with the answers.

    Example: [bold]corridor webhooks show del_...[/]
    """
    from node.cli import webhooks

    webhooks.show(where, delivery_id, as_json=as_json)


@webhooks_app.command()
@asks_a_node
def redeliver(
    where: Where,
    which: Annotated[
        str, typer.Argument(metavar="ID", help="del_...; with --since an endpoint, whe_...")
    ],
    since: Annotated[
        int | None,
        typer.Option(metavar="SEQUENCE", min=0, help="Every event after this one, oldest first."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send a delivery again, or every event after one, also those an endpoint has missed.

    Example: [bold]corridor webhooks redeliver whe_... --since 1200[/]
    """
    from node.cli import webhooks

    if since is None:
        webhooks.redeliver(where, which, as_json=as_json)
    else:
        webhooks.redeliver_since(where, which, since, as_json=as_json)


@asks_a_node
def listen(
    where: Where,
    forward_to: Annotated[
        str | None, typer.Option(metavar="URL", help="Send each event there, signed.")
    ] = None,
    event: Events = None,
    after: Annotated[
        int | None,
        typer.Option(metavar="SEQUENCE", min=0, help="Begin after this event; default: now."),
    ] = None,
    for_s: Annotated[
        int | None, typer.Option("--for", metavar="SECONDS", min=1, help="Then end; default: never")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print events as they happen, and forward them as webhooks to a URL of your own machine.

    For trying out a receiver: no endpoint is made, nothing is sent twice, and the secret that signs
    is made anew each time and printed first. Ctrl-C ends it. With --json: one event on a line.

    Example: [bold]corridor listen --forward-to http://127.0.0.1:9000/hook --event transfer[/]
    """
    from node.cli import listening

    wish = listening.Wish(forward_to, tuple(event or ()), after, for_s)
    listening.run(where, wish, as_json=as_json)
