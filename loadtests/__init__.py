"""Load with a verdict: many units over MQTT, operators over the API, and a canary that measures the alerts."""
