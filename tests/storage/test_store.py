"""The promises of the port Store, kept by the twin and by Table Storage alike."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import ClassVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.accounts import Account
from shared.domain.documents import Claim, Discard, Document, Insert, Reclaim, Release, Remove, Renew, Replace, Touch
from shared.domain.errors import Conflict, PreconditionFailed, Taken, TooLarge, Unavailable
from shared.domain.fencing import LeaseLost, fenced
from shared.domain.ids import created_at, new_id
from shared.domain.models import Model
from shared.domain.ports import Store
from shared.storage.connection import StorageConnection
from shared.storage.memory import MemoryStore
from shared.storage.tables import MOST_PAGE_CHARACTERS, TableStore
from tests.twins import ManualClock

CLOCK = ManualClock()


@pytest.fixture(params=["twin", "tables"])
async def store(request, azurite) -> AsyncIterator[Store]:
    if request.param == "twin":
        yield MemoryStore(CLOCK)
        return
    connection = StorageConnection.from_settings({"AzureWebJobsStorage": azurite.connection_string})
    tables = TableStore(connection, f"t{uuid4().hex}")
    yield tables
    await tables.close()


@pytest.fixture
def account() -> Account:
    return Account(str(uuid4()), "Group / #1?", "a\\b")


class Large(Document):
    """A document as large as a row takes."""

    kind: ClassVar[str] = "large"

    text: str


def model(name: str = "digits", *tags: str, description: str | None = None) -> Model:
    identifier = new_id(CLOCK.now(), CLOCK.random_bits)
    return Model(
        id=identifier,
        name=name,
        tags=tags,
        description=description,
        url="http://store/x",
        mime_type="application/json",
        version=1,
        created_at=created_at(identifier),
    )


async def all_pages(store: Store, account: Account, count: int, **filters: str) -> list[str]:
    seen: list[str] = []
    after = None
    while True:
        page = await store.page(account, Model, filters, count=count, after=after)
        assert len(page.items) == count or page.after is None
        seen += [item.id for item in page.items]
        after = page.after
        if after is None:
            return seen


async def test_a_page_of_large_documents_holds_fewer_and_none_is_missed(azurite, account):
    connection = StorageConnection.from_settings({"AzureWebJobsStorage": azurite.connection_string})
    tables = TableStore(connection, f"t{uuid4().hex}")
    try:
        large = [Large(id=new_id(CLOCK.now(), CLOCK.random_bits), text="x" * 400_000) for _ in range(25)]
        for document in large:
            await tables.commit(account, [Insert(document)])
        first = await tables.page(account, Large, {}, count=1000)
        assert len(first.items) == MOST_PAGE_CHARACTERS // 400_100 < len(large)
        rest = await tables.page(account, Large, {}, count=1000, after=first.after)
        assert [item.id for item in (*first.items, *rest.items)] == sorted((document.id for document in large), reverse=True)
    finally:
        await tables.close()


async def test_what_is_unknown_in_a_document_is_kept_through_a_change_and_in_lists(store, account):
    newer = Model.from_stored({**model().stored(), "owner": {"team": ["a", None]}})
    (written,) = await store.commit(account, [Insert(newer)])
    read = await store.get(account, Model, newer.id)
    assert read.document.stored()["owner"] == {"team": ["a", None]}
    await store.commit(account, [Replace(written, read.document.but(description="changed"))])
    (listed,) = (await store.page(account, Model, {"name": "digits"}, count=10)).items
    assert listed.stored() == {**newer.stored(), "description": "changed"}


async def test_what_was_committed_can_be_read(store, account):
    document = model("digits", "prod", description="naïve 𝄞 \0 \u2028")
    (written,) = await store.commit(account, [Insert(document)])
    assert await store.get(account, Model, document.id) == written
    assert written.document == document


async def test_what_is_not_there_is_none(store, account):
    assert await store.get(account, Model, model().id) is None
    assert await store.held(account, "name") is None


async def test_accounts_do_not_see_each_other(store, account):
    document = model()
    await store.commit(account, [Insert(document)])
    other = Account(account.subscription, account.resource_group, "other")
    assert await store.get(other, Model, document.id) is None
    assert await all_pages(store, other, 10) == []
    same = Account(account.subscription.upper(), account.resource_group.upper(), account.name.upper())
    assert await all_pages(store, same, 10) == [document.id]


async def test_a_second_claim_of_a_key_conflicts_and_nothing_of_its_commit_is_there(store, account):
    await store.commit(account, [Claim("name", "one")])
    document = model()
    with pytest.raises(Conflict):
        await store.commit(account, [Insert(document), Claim("name", "two")])
    assert await store.get(account, Model, document.id) is None
    held = await store.held(account, "name")
    assert held is not None
    assert held.value == "one"


async def test_a_claim_that_has_moved_on_conflicts(store, account):
    await store.commit(account, [Claim("version", "1")])
    held = await store.held(account, "version")
    await store.commit(account, [Reclaim(held, "2")])
    document = model()
    with pytest.raises(Conflict):
        await store.commit(account, [Reclaim(held, "3"), Insert(document)])
    assert (await store.held(account, "version")).value == "2"
    assert await store.get(account, Model, document.id) is None


async def test_a_claim_that_is_gone_conflicts_wherever_it_stands_in_a_commit(store, account):
    await store.commit(account, [Claim("version", "1")])
    held = await store.held(account, "version")
    await store.commit(account, [Release("version")])
    for changes in ([Reclaim(held, "2"), Insert(model())], [Insert(model()), Reclaim(held, "2")]):
        with pytest.raises(Conflict):
            await store.commit(account, changes)
    assert await all_pages(store, account, 10) == []


async def test_a_release_is_harmless_when_nothing_is_held(store, account):
    await store.commit(account, [Release("name"), Claim("other", "x")])
    await store.commit(account, [Release("other"), Claim("name", "y")])
    assert await store.commit(account, [Release("other")]) == []
    assert await store.held(account, "other") is None
    assert (await store.held(account, "name")).value == "y"


async def test_a_document_that_was_changed_meanwhile_is_not_replaced_nor_removed(store, account):
    document = model()
    (read,) = await store.commit(account, [Insert(document)])
    (changed,) = await store.commit(account, [Replace(read, document.but(description="new"))])
    for change in (Replace(read, document.but(description="lost")), Remove(read)):
        with pytest.raises(PreconditionFailed):
            await store.commit(account, [change, Claim("name", "x")])
    assert await store.get(account, Model, document.id) == changed
    assert await store.held(account, "name") is None


async def test_a_touch_changes_the_tag_and_nothing_else(store, account):
    document = model()
    (read,) = await store.commit(account, [Insert(document)])
    await store.commit(account, [Touch(read), Claim("a", "x")])
    await store.commit(account, [Touch(read), Claim("b", "x")])
    after = await store.get(account, Model, document.id)
    assert after.document == document
    assert after.etag != read.etag
    with pytest.raises(PreconditionFailed):
        await store.commit(account, [Remove(read)])


async def test_a_renewed_document_is_read_as_it_is_and_listed_so_after_the_next_change(store, account):
    document = model()
    (read,) = await store.commit(account, [Insert(document)])
    (renewed,) = await store.commit(account, [Renew(read, document.but(description="renewed"))])
    assert await store.get(account, Model, document.id) == renewed
    with pytest.raises(PreconditionFailed):
        await store.commit(account, [Renew(read, document.but(description="lost"))])
    await store.commit(account, [Replace(renewed, document.but(description="changed"))])
    (listed,) = (await store.page(account, Model, {}, count=1)).items
    assert listed.description == "changed"


async def test_a_discarded_document_is_gone_whatever_it_was_by_then_and_only_once(store, account):
    document = model("digits", "prod")
    (read,) = await store.commit(account, [Insert(document)])
    await store.commit(account, [Renew(read, document.but(description="renewed"))])
    await store.commit(account, [Discard(document)])
    assert await store.get(account, Model, document.id) is None
    assert await all_pages(store, account, 10, tag="prod") == []
    with pytest.raises(PreconditionFailed):
        await store.commit(account, [Discard(document), Claim("a", "x")])
    assert await store.held(account, "a") is None


async def test_a_document_is_as_old_as_its_last_change_by_the_stores_own_clock(store, account):
    document, made, old = model(), time.monotonic(), timedelta(seconds=0.9)
    (read,) = await store.commit(account, [Insert(document)])
    if isinstance(store, MemoryStore):
        CLOCK.advance(timedelta(seconds=2))
    else:
        await asyncio.sleep(2)
    age = (await store.get(account, Model, document.id)).age
    assert old < age < timedelta(seconds=max(2, time.monotonic() - made) + 1)
    renewed = time.monotonic()
    await store.commit(account, [Renew(read, document)])
    assert (await store.get(account, Model, document.id)).age < timedelta(seconds=time.monotonic() - renewed) + old


async def test_what_is_taken_is_named(store, account):
    await store.commit(account, [Claim("name", "x")])
    for changes in ([Claim("name", "y")], [Claim("free", "y"), Insert(model()), Claim("name", "y")]):
        with pytest.raises(Taken) as taken:
            await store.commit(account, changes)
        assert taken.value.key == "name"
    assert await store.held(account, "free") is None


async def test_what_is_gone_cannot_be_touched(store, account):
    (read,) = await store.commit(account, [Insert(model())])
    await store.commit(account, [Remove(read)])
    with pytest.raises(PreconditionFailed):
        await store.commit(account, [Touch(read), Claim("a", "x")])
    assert await store.held(account, "a") is None


async def test_a_replaced_document_is_found_by_what_it_is_now(store, account):
    document = model("digits", "old", "kept")
    (read,) = await store.commit(account, [Insert(document)])
    await store.commit(account, [Replace(read, document.but(tags=("kept", "new")))])
    assert await all_pages(store, account, 10, tag="old") == []
    for tag in ("kept", "new"):
        page = await store.page(account, Model, {"tag": tag}, count=10)
        assert [item.tags for item in page.items] == [("kept", "new")]


async def test_a_removed_document_is_in_no_list(store, account):
    document = model("digits", "prod")
    (read,) = await store.commit(account, [Insert(document)])
    await store.commit(account, [Remove(read)])
    for filters in ({}, {"name": "digits"}, {"tag": "prod"}, {"name": "digits", "tag": "prod"}):
        assert await all_pages(store, account, 10, **filters) == []


@pytest.mark.parametrize(
    "text", ["a/b", "a\\b", "a#b?c", "a:b", "a=2Fb", "ü𝄞", "a b", "'", "x" * 256, "=" * 256, "A", "a", "~", "%2F"]
)
async def test_any_text_can_be_a_filter_and_finds_itself_only(store, account, text):
    document = model("digits", text)
    await store.commit(account, [Insert(document)])
    await store.commit(account, [Insert(model("digits", text[:-1] + "z"))])
    assert await all_pages(store, account, 10, tag=text) == [document.id]


async def test_a_page_of_exactly_all_there_is_has_no_next(store, account):
    for _ in range(3):
        await store.commit(account, [Insert(model())])
    page = await store.page(account, Model, {}, count=3)
    assert (len(page.items), page.after) == (3, None)


async def test_only_one_of_many_writers_at_once_wins(store, account):
    (read,) = await store.commit(account, [Insert(model())])
    changes = [Replace(read, read.document.but(description=str(number))) for number in range(8)]
    outcomes = await asyncio.gather(*(store.commit(account, [change]) for change in changes), return_exceptions=True)
    assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 7


async def test_a_worker_that_lost_its_lease_commits_nothing(store, account):
    def lost() -> None:
        raise LeaseLost("another worker has it")

    with fenced(lost), pytest.raises(LeaseLost):
        await store.commit(account, [Claim("name", "late"), Insert(model())])
    assert await store.held(account, "name") is None
    assert await all_pages(store, account, 10) == []


@given(st.data())
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_pages_of_any_size_hold_all_that_fits_once_newest_first(store, data):
    account = Account(str(uuid4()), "g", "a")
    kinds = data.draw(st.lists(st.tuples(st.sampled_from("ab"), st.sets(st.sampled_from("xyz"))), max_size=9))
    documents = [model(name, *sorted(tags)) for name, tags in kinds]
    for document in documents:
        await store.commit(account, [Insert(document)])
    for filters in ({}, {"name": "a"}, {"tag": "x"}, {"name": "b", "tag": "y"}):
        fitting = [
            document.id
            for document in reversed(documents)
            if filters.get("name", document.name) == document.name
            and ("tag" not in filters or filters["tag"] in document.tags)
        ]
        assert await all_pages(store, account, data.draw(st.integers(1, 5)), **filters) == fitting


async def test_more_than_a_transaction_or_a_row_holds_is_refused_and_nothing_of_it_is_there(store, account):
    await store.commit(account, [Claim(f"fits-{number}", "x") for number in range(100)])
    with pytest.raises(TooLarge, match="101 rows"):
        await store.commit(account, [Claim(str(number), "x") for number in range(101)])
    with pytest.raises(TooLarge, match="1 MiB"):
        await store.commit(account, [Claim("row", "x"), Insert(model().model_copy(update={"description": "x" * 520_000}))])
    large = [Insert(model().model_copy(update={"description": "x" * 500_000})) for _ in range(5)]
    with pytest.raises(TooLarge, match="4 MiB"):
        await store.commit(account, [Claim("transaction", "x"), *large])
    assert [await store.held(account, key) for key in ("0", "row", "transaction")] == [None, None, None]


async def test_storage_that_is_away_is_unavailable():
    nowhere = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=eA==;TableEndpoint=http://127.0.0.1:1/a;"
    tables = TableStore(StorageConnection.from_settings({"AzureWebJobsStorage": nowhere}))
    with pytest.raises(Unavailable):
        await tables.get(Account("s", "g", "a"), Model, model().id)
    await tables.close()
