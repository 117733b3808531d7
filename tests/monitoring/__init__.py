"""What is offered for monitoring: alerts, dashboard, scraping."""
