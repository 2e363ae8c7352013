"""Who may call the API, how much a tenant may have, and who did what."""
