"""Events sent to whoever asked for them: endpoints, and deliveries to them."""
