"""The `lrserve` command and the HTTP client it is built on."""
