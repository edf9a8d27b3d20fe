"""Entities whose state is a pydantic model, with the SDK's converter for it."""

from decimal import Decimal

import pytest

from perdure.patterns import Entity, Limits, update

pydantic = pytest.importorskip("pydantic")
converters = pytest.importorskip("temporalio.contrib.pydantic")


class Price(pydantic.BaseModel):
    amount: Decimal = Decimal("0")


class Shop(Entity[Price]):
    @update
    async def raised(self, by: Decimal) -> Price:
        self.state.amount += by
        return self.state


@pytest.fixture
def perdure_client_options():
    return {"data_converter": converters.pydantic_data_converter}


async def test_a_state_of_pydantic(perdure):
    async with perdure.worker(Shop, task_queue="shops"):
        shop = Shop.of(perdure.client, "s", task_queue="shops")
        await shop.raised(Decimal("0.1"))
        assert await shop.raised(Decimal("0.2"), message_id="m") == Price(amount=Decimal("0.3"))
        assert await shop.raised(Decimal("0.2"), message_id="m") == Price(amount=Decimal("0.3"))


class Text(pydantic.BaseModel):
    text: str = ""


class Document(Entity[Text], limits=Limits(messages_a_run=3)):
    @update
    def put(self, text: str) -> int:
        self.state.text += text
        return len(self.state.text)


async def test_text_of_many_bytes_is_carried_in_no_more(perdure):
    async with perdure.worker(Document, task_queue="documents"):
        document = Document.of(perdure.client, "d", task_queue="documents")
        for number in range(7):
            assert await document.put("я" * 60_000, message_id=str(number)) == 60_000 * (number + 1)
        assert await document.put("я" * 60_000, message_id="0") == 60_000, "the first reply"
        assert len(await perdure.histories("d")) >= 2
