"""Webhook events as signed and sent by Stripe."""

import json
import time
from typing import Any

import stripe
from flask.testing import FlaskClient

SECRET = "whsec_test"

COMPLETED = "checkout.session.completed"


def event(kind: str = COMPLETED, number: int = 1, **given: Any) -> bytes:
    body = {
        "id": f"evt_{number}", "object": "event", "type": kind, "livemode": False,
        "api_version": "2020-08-27", "created": int(time.time()),
        "data": {"object": {"id": "cs_test_1", "object": "checkout.session"}},
        **given,
    }  # fmt: skip
    return json.dumps(body).encode()


def send(
    client: FlaskClient,
    body: bytes,
    secret: str = SECRET,
    path: str = "/webhooks/stripe",
    age: int = 0,
) -> int:
    signature = stripe.WebhookSignature.generate_signature_header(
        body.decode(), secret, int(time.time()) - age
    )
    headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
    return client.post(path, data=body, headers=headers).status_code
