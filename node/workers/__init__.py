"""The worker process: jobs that run until they are told to stop."""
