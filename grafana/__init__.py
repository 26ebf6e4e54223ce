"""Grafana's boards as code: boards/ says what they show, builder/ makes the JSON, dashboards/ holds it."""
