"""What the processes of the service share: settings, logs, traces, files, and the threads that look after the store."""
