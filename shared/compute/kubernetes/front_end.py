"""The front end of a cluster: where services are called, and whether it leads to them (client-facts.md, 28 and 33)."""

_SECONDS = 10.0
_HEALTHY, _PARKED = 200, 503


async def what_is_amiss(service_uri: str, *, parked: bool) -> str:
    """What callers of the service meet that they should not; empty when it answers as it ought to.

    One without replicas is called in vain, and that ought to be 503.
    """
    import aiohttp  # noqa: PLC0415  # only who has a cluster pays

    address, expected = f"{service_uri}/", _PARKED if parked else _HEALTHY
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_SECONDS)) as session,
            session.get(address, allow_redirects=False) as answer,
        ):
            return "" if answer.status == expected else f"{address} answers {answer.status}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"{address} cannot be reached: {type(error).__name__}"
