"""What happens while a network learns."""
