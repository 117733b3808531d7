"""Tests of the alerts, the dashboard and the scraping."""
