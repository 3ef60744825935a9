"""Bulk transfers: files of orders, priced and accepted by batches."""
