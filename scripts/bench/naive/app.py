"""A naive payment program, as a competent newcomer would write it in an afternoon.

FastAPI, SQLAlchemy's ORM and web3.py as their documentation shows them: a quote is an ORM insert;
a payment debits the customer under FOR UPDATE, sends one ERC-20 transfer from the treasury, waits
for its receipt, and marks the payment paid. No row stays locked while the chain is waited for, and
everything is async, so that it does as well as this design can. Its books are right while it runs;
it recovers from nothing (a crash between debit and transfer loses the payment).

Run by `end_to_end.py` with uvicorn; settings from the environment, `NAIVE_...`.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Annotated

from fastapi import FastAPI, HTTPException, status
from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from scripts.bench.naive.models import Base, Customer, Payment, Quote, now
from scripts.bench.naive.treasury import PayoutFailed, Treasury

RATE = Decimal("1.15394748")
FEE = Decimal("0.62")
QUOTE_TTL = timedelta(seconds=60)
UNIT = Decimal("0.000001")


class Settings(BaseSettings, env_prefix="NAIVE_"):
    """What differs between machines; `balance` is what the first customer begins with, in EUR."""

    database_url: str
    rpc_url: str
    token: str
    private_key: str
    balance: Decimal


settings = Settings()
engine = create_async_engine(
    settings.database_url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=32
)
new_session = async_sessionmaker(engine, expire_on_commit=False)
treasury = Treasury(
    rpc_url=settings.rpc_url, token=settings.token, private_key=settings.private_key
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables and the first customer."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with new_session.begin() as session:
        if await session.scalar(select(Customer).limit(1)) is None:
            session.add(Customer(name="Ana", balance=settings.balance))
    yield
    await treasury.close()
    await engine.dispose()


app = FastAPI(title="Naive payments", lifespan=lifespan)


class QuoteRequest(BaseModel):
    """What a customer wants to sell."""

    customer_id: uuid.UUID
    sell_amount: Annotated[Decimal, Field(gt=FEE, max_digits=12, decimal_places=2)]


class QuoteAnswer(BaseModel):
    """A firm quote."""

    id: uuid.UUID
    sell_amount: Decimal
    buy_amount: Decimal
    rate: Decimal
    expires_at: datetime


class PaymentRequest(BaseModel):
    """Pay what this quote buys to this address."""

    quote_id: uuid.UUID
    address: Annotated[str, Field(pattern="^0x[0-9a-fA-F]{40}$")]


class PaymentAnswer(BaseModel):
    """A payment that is on chain."""

    id: uuid.UUID
    status: str
    address: str
    amount: Decimal
    tx_hash: str | None


@app.get("/customers/first")
async def first_customer() -> dict[str, str]:
    """The only customer there is."""
    async with new_session() as session:
        customer = (await session.scalars(select(Customer).limit(1))).one()
        return {"id": str(customer.id), "balance": str(customer.balance)}


@app.post("/quotes", status_code=status.HTTP_201_CREATED)
async def create_quote(request: QuoteRequest) -> QuoteAnswer:
    """A firm quote, one ORM insert."""
    quote = Quote(
        customer_id=request.customer_id,
        sell_amount=request.sell_amount,
        buy_amount=((request.sell_amount - FEE) * RATE).quantize(UNIT, ROUND_DOWN),
        rate=RATE,
        expires_at=now() + QUOTE_TTL,
    )
    async with new_session.begin() as session:
        session.add(quote)
    return QuoteAnswer.model_validate(quote, from_attributes=True)


@app.post("/payments", status_code=status.HTTP_201_CREATED)
async def create_payment(request: PaymentRequest) -> PaymentAnswer:
    """Debit, transfer on chain, wait for the receipt, mark as paid."""
    payment = await debit(request)
    try:
        tx_hash = await treasury.pay(payment.address, int(payment.amount * 10**6))
    except PayoutFailed as error:
        await give_back(payment.id)
        raise HTTPException(status.HTTP_502_BAD_GATEWAY, "the transfer reverted") from error
    async with new_session.begin() as session:
        payment = await session.get_one(Payment, payment.id)
        payment.status = "paid"
        payment.tx_hash = tx_hash
        payment.paid_at = now()
    return PaymentAnswer.model_validate(payment, from_attributes=True)


async def debit(request: PaymentRequest) -> Payment:
    """Use the quote up and take its price from the customer, in one transaction."""
    async with new_session.begin() as session:
        quote = await session.scalar(
            select(Quote).where(Quote.id == request.quote_id).with_for_update()
        )
        if quote is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, "no such quote")
        if quote.status != "active" or quote.expires_at <= now():
            raise HTTPException(status.HTTP_409_CONFLICT, "the quote is used or expired")
        customer = (
            await session.scalars(
                select(Customer).where(Customer.id == quote.customer_id).with_for_update()
            )
        ).one()
        if customer.balance < quote.sell_amount:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "insufficient funds")
        customer.balance -= quote.sell_amount
        quote.status = "used"
        payment = Payment(
            quote_id=quote.id,
            customer_id=customer.id,
            address=request.address,
            amount=quote.buy_amount,
        )
        session.add(payment)
    return payment


async def give_back(payment_id: uuid.UUID) -> None:
    """Mark a payment as failed and return its price."""
    async with new_session.begin() as session:
        payment = await session.get_one(Payment, payment_id)
        quote = await session.get_one(Quote, payment.quote_id)
        customer = (
            await session.scalars(
                select(Customer).where(Customer.id == payment.customer_id).with_for_update()
            )
        ).one()
        customer.balance += quote.sell_amount
        payment.status = "failed"
