"""SQL: repositories over one PostgreSQL transaction. They return core values and never commit."""
