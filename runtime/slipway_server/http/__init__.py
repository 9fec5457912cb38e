"""HTTP/1.1 on asyncio: connections, requests and answers, and who may ask (RFC 9110, RFC 9112)."""
