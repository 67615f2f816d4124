"""Settings of a site in production; the database comes from the test."""

PRODUCTION = {
    "env": "production",
    "secret_key": "hunter2-" * 5,
    "suppression_key": "letmein-" * 5,
    "base_url": "https://courses.internal",
    "trusted_proxies": "1",
    "stripe_secret_key": "sk_test_hunter2",
    "stripe_test": "1",
    "stripe_webhook_secret": "whsec_hunter2",
    "smtp_url": "smtp://postman:hunter2@127.0.0.1:1",
    "mail_from": "The Team <hello@courses.internal>",
}
# The same with a live key.
SELLING = {**PRODUCTION, "stripe_secret_key": "sk_live_" + "51abc", "stripe_test": "0"}
