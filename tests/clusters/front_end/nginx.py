"""Debian's nginx before the pods of a cluster, configured as ingress-nginx configures it.

The headers and times are those of its template (ingress-nginx 1.x, with the ConfigMap's defaults). Not its own: endpoints
are written into the configuration, where ingress-nginx has a balancer in Lua. An HTTPRoute gets the same.
"""

import asyncio
import os
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from local.azurite.server import free_ports
from tests.clusters.changes import changes
from tests.clusters.cluster import Cluster
from tests.clusters.front_end.routes import Route, led, routes
from tests.registries.running import judge
from tests.waiting import until

_WHOLE = """
daemon off;
{user}
worker_processes 2;
worker_shutdown_timeout 240s;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_timeout 75s;
    keepalive_requests 1000;
    underscores_in_headers off;
    server_tokens off;
    map $http_x_request_id $req_id {{ default $http_x_request_id; "" $request_id; }}
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    map $http_host $best_http_host {{ default $http_host; "" $host; }}
{upstreams}
    server {{
        listen 127.0.0.1:{port} default_server;
        server_name _;
        location / {{ return 404 "default backend - 404"; }}
{locations}
    }}
{servers}
}}
"""
_UPSTREAM = """
    upstream {name} {{
{servers}
        keepalive 320;
        keepalive_time 1h;
        keepalive_timeout 60s;
        keepalive_requests 10000;
    }}
"""
_SERVER = """
    server {{
        listen 127.0.0.1:{port};
        server_name {hosts};
        location / {{ return 404 "default backend - 404"; }}
{locations}
    }}
"""
_LOCATION = """
        location {match} {{
            client_max_body_size {largest_body};
            proxy_set_header Host $best_http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Request-ID $req_id;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $best_http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Scheme $scheme;
            proxy_set_header X-Scheme $scheme;
            proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
            proxy_set_header Proxy "";
            proxy_connect_timeout 5s;
            proxy_send_timeout 60s;
            proxy_read_timeout {timeout}s;
            proxy_buffering off;
            proxy_buffer_size 4k;
            proxy_buffers 4 4k;
            proxy_max_temp_file_size 1024m;
            proxy_request_buffering on;
            proxy_http_version 1.1;
            proxy_cookie_domain off;
            proxy_cookie_path off;
            proxy_next_upstream error timeout;
            proxy_next_upstream_timeout 0;
            proxy_next_upstream_tries 3;
            proxy_redirect off;
            {action};
        }}
"""


class Nginx:
    """The front end of a cluster: `async with Nginx(cluster).running()`. `address` is where services are called."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._port = free_ports(1)[0]
        self._written = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Nginx"]:
        """Lead to the pods that are ready, until the context ends."""
        with tempfile.TemporaryDirectory(prefix="slipway-nginx-") as scratch:
            folder = Path(scratch)
            await self._write(folder)
            program = [judge("nginx"), "-p", scratch, "-c", f"{scratch}/nginx.conf"]
            process = await asyncio.create_subprocess_exec(*program)
            try:
                await until(self._listens)
                async with asyncio.TaskGroup() as tasks:
                    leading = tasks.create_task(self._lead(folder, process))
                    yield self
                    leading.cancel()
            finally:
                process.terminate()
                await process.wait()

    async def _lead(self, folder: Path, process: Process) -> None:
        async for _ in changes(self._cluster):
            if await self._write(folder):
                process.send_signal(signal.SIGHUP)  # what `nginx -s reload` sends

    async def _write(self, folder: Path) -> bool:
        """Write the configuration; false when it was so already."""
        found = [await led(self._cluster, route) for route in await routes(self._cluster)]
        text = configuration(found, folder, self._port)
        changed, self._written = text != self._written, text
        if changed:
            (folder / "new.conf").write_text(text)
            (folder / "new.conf").rename(folder / "nginx.conf")
        return changed

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


def configuration(all_routes: list[Route], folder: Path, port: int) -> str:
    """The text of nginx.conf."""
    upstreams = {route.service: _upstream(route) for route in all_routes if route.pods}
    hosts = sorted({route.hosts for route in all_routes if route.hosts})
    named = [
        _SERVER.format(port=port, hosts=" ".join(some), locations=_locations(r for r in all_routes if r.hosts == some))
        for some in hosts
    ]
    return _WHOLE.format(
        user="user root;" if os.geteuid() == 0 else "",  # who may read the folder
        folder=folder,
        port=port,
        upstreams="".join(upstreams.values()),
        locations=_locations(route for route in all_routes if not route.hosts),
        servers="".join(named),
    )


def _upstream(route: Route) -> str:
    servers = "\n".join(f"        server {pod['status']['podIP']}:{route.port} max_fails=0;" for pod in route.pods)
    return _UPSTREAM.format(name=route.service, servers=servers)


def _locations(some: Iterable[Route]) -> str:
    """Of each path one for itself and one for all below it: a prefix counts by whole segments."""
    return "".join(
        _LOCATION.format(
            match=match,
            timeout=route.read_timeout,
            largest_body=route.largest_body,
            action=f"proxy_pass http://{route.service}" if route.pods else "return 503",
        )
        for route in some
        for match in (f"= {route.path}", f"{route.path}/")
    )
