"""Tables of the naive ledger, as ORM classes: accounts with a balance, transfers, entries.

Not here: what is done with them (`orm_side.py`).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables of the naive ledger."""

    type_annotation_map = {int: BigInteger, dict[str, str]: JSONB}  # noqa: RUF012 - SQLAlchemy's


class Account(Base):
    """An account and its balance, credits less debits, minor units."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(String(100), unique=True)
    may_be_negative: Mapped[bool]
    balance: Mapped[int]


class Transfer(Base):
    """One posting; its key books once."""

    __tablename__ = "transfers"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(100), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    detail: Mapped[dict[str, str]]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Entry(Base):
    """`amount` minor units from the credit to the debit account."""

    __tablename__ = "entries"

    id: Mapped[int] = mapped_column(primary_key=True)
    transfer_id: Mapped[int] = mapped_column(ForeignKey("transfers.id"), index=True)
    debit_account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    credit_account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    asset: Mapped[str] = mapped_column(String(10))
    amount: Mapped[int]
