"""Reading and writing images; nothing here knows of torch."""
