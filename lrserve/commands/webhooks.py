"""lrserve webhooks: endpoints that are notified when a job changes its state."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrserve.options import AsJson, Url, connect
from lrserve.output import print_json, print_line, print_result, say, table

if TYPE_CHECKING:
    from lrcore.webhooks.records import Webhook

app = typer.Typer(
    help="Webhooks: list, add, change, delete, rotate, test, deliveries, redeliver.", no_args_is_help=True
)

WebhookId = Annotated[str, typer.Argument(help="of the webhook", metavar="WEBHOOK")]
Events = Annotated[
    list[str] | None,
    typer.Option("--event", help="such as job.succeeded; again for each further one; all if none", show_default=False),
]


@app.command("list")
def list_webhooks(url: Url = None, as_json: AsJson = False) -> None:
    """List webhooks, newest first."""
    with connect(url) as client:
        found = client.webhooks()
    rows = [(each.id, each.url, _events(each), each.label, "" if each.enabled else "disabled") for each in found]
    print_result(found, table(["id", "url", "events", "label", ""], rows), as_json=as_json)


def _events(webhook: Webhook) -> str:
    return " ".join(event.removeprefix("job.") for event in webhook.events)


@app.command()
def add(
    endpoint: Annotated[str, typer.Argument(help="URL to notify", metavar="ENDPOINT")],
    event: Events = None,
    label: Annotated[str | None, typer.Option(help="only jobs with this label")] = None,
    description: Annotated[str, typer.Option(help="what it is for")] = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Register a webhook and print its id and its secret, which is not shown again."""
    with connect(url) as client:
        made, secret = client.create_webhook(endpoint, event or None, label=label, description=description)
    _print_secret(made, secret, as_json)


def _print_secret(webhook: Webhook, secret: str, as_json: bool) -> None:
    print_result(webhook.model_dump(mode="json") | {"secret": secret}, f"{webhook.id}  {secret}", as_json=as_json)


@app.command()
def change(
    webhook: WebhookId,
    endpoint: Annotated[str | None, typer.Option(help="another URL")] = None,
    event: Events = None,
    enable: Annotated[bool | None, typer.Option("--enable/--disable", help="whether it is notified")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Change a webhook; what is not named stays."""
    changes: dict[str, Any] = {"url": endpoint, "events": event or None, "enabled": enable}
    wanted = {name: value for name, value in changes.items() if value is not None}
    if not wanted:
        raise typer.BadParameter("name what is to be changed: --endpoint, --event, --enable or --disable")
    with connect(url) as client:
        found = client.change_webhook(webhook, **wanted)
    if as_json:
        print_json(found)


@app.command()
def delete(webhook: WebhookId, url: Url = None, as_json: AsJson = False) -> None:
    """Delete a webhook with its deliveries."""
    with connect(url) as client:
        client.delete_webhook(webhook)
    if as_json:
        print_json({"deleted": webhook})


@app.command()
def rotate(webhook: WebhookId, url: Url = None, as_json: AsJson = False) -> None:
    """Give a webhook a new secret and print it; for 24 hours the old one signs, too."""
    with connect(url) as client:
        made, secret = client.rotate_secret(webhook)
    _print_secret(made, secret, as_json)


@app.command("test")
def send_test(webhook: WebhookId, url: Url = None, as_json: AsJson = False) -> None:
    """Send a test event and print its delivery's id."""
    with connect(url) as client:
        delivery = client.test_webhook(webhook)
    print_result(delivery, delivery.id, as_json=as_json)


@app.command()
def deliveries(
    webhook: WebhookId,
    limit: Annotated[int, typer.Option(help="how many at most; 0 for all", min=0)] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List a webhook's deliveries, newest first. With --json each is a line."""
    with connect(url) as client:
        found = islice(client.deliveries(webhook, page_size=min(limit or 100, 100)), limit or None)
        if as_json:
            for each in found:
                print_line(each)
            return
        rows = [(d.id, d.event, d.job_id, d.state, len(d.attempts), d.next_attempt_at) for d in found]
    say(table(["id", "event", "job", "state", "attempts", "next attempt"], rows))


@app.command()
def redeliver(
    webhook: WebhookId,
    delivery: Annotated[str, typer.Argument(help="as listed", metavar="DELIVERY")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send a delivery again, at once."""
    with connect(url) as client:
        sent = client.redeliver(webhook, delivery)
    print_result(sent, sent.id, as_json=as_json)
