"""The probes of a container, as a kubelet makes them."""

import asyncio
from dataclasses import dataclass

import aiohttp

from tests.clusters.cluster import Object


@dataclass(frozen=True)
class Probe:
    """Asks one container by HTTP whether it is well, again and again."""

    url: str
    period: float
    timeout: float
    failures: int
    """After so many failures in a row it is not."""

    @classmethod
    def of(cls, container: Object, kind: str, address: str) -> "Probe":
        said = container[f"{kind}Probe"]
        port = said["httpGet"]["port"]
        number = next((each["containerPort"] for each in container["ports"] if each["name"] == port), port)
        return cls(
            f"http://{address}:{number}{said['httpGet']['path']}",
            said.get("periodSeconds", 10),
            said.get("timeoutSeconds", 1),
            said.get("failureThreshold", 3),
        )

    async def said(self) -> str:
        """What is wrong now, in a kubelet's words; empty when it is well."""
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(self.timeout), headers={"User-Agent": "kube-probe/1.36"}
                ) as session,
                session.get(self.url, allow_redirects=False) as answer,
            ):
                well = 200 <= answer.status < 400
                return "" if well else f"HTTP probe failed with statuscode: {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            return f'Get "{self.url}": {type(error).__name__}'

    async def pause(self) -> None:
        await asyncio.sleep(self.period)
