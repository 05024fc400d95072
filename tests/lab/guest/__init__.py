"""What runs in the guest: plain Python 3.11 with nothing installed."""
