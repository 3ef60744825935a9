"""The HTTP edge: requests in, answers and problems out. No rule of money is here."""
