"""The downloader: parts, journals, kills, lies and a full disk."""
