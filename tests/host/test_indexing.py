"""What stops the start, and that its message says why."""

import pytest

FAULTY = {
    "a parameter that is not the binding's": (
        """
        @app.route(route="a")
        async def f(request: func.HttpRequest) -> func.HttpResponse: ...
        """,
        "cannot load the f function: the following parameters are declared in Python but not in the function definition",
    ),
    "a binding without a parameter": (
        """
        @app.queue_trigger(arg_name="message", queue_name="q", connection="C")
        async def f() -> None: ...
        """,
        "declared as bindings but are not present in Python: {'message'}",
    ),
    "a parameter of another type": (
        """
        @app.route(route="a")
        async def f(req: func.QueueMessage) -> func.HttpResponse: ...
        """,
        "do not match the corresponding function parameter's Python type annotation QueueMessage",
    ),
    "an annotation that is no type": (
        """
        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        async def f(timer: 5) -> None: ...
        """,
        "invalid non-type annotation",
    ),
    "a return that is no answer": (
        """
        @app.route(route="a")
        async def f(req: func.HttpRequest) -> int: ...
        """,
        'Python return annotation "int" does not match',
    ),
    "an out annotation on a trigger": (
        """
        @app.route(route="a")
        async def f(req: func.Out[func.HttpRequest]) -> func.HttpResponse: ...
        """,
        "azure.functions.Out",
    ),
    "a context of another type": (
        """
        @app.route(route="a")
        async def f(req: func.HttpRequest, context: str) -> func.HttpResponse: ...
        """,
        'the "context" parameter is expected to be of type azure.functions.Context',
    ),
    "two functions of one name": (
        """
        @app.function_name("f")
        @app.route(route="a")
        async def one(req: func.HttpRequest) -> func.HttpResponse: ...

        @app.function_name("f")
        @app.route(route="b")
        async def two(req: func.HttpRequest) -> func.HttpResponse: ...
        """,
        "Function f ",
    ),
    "an import that fails": ("import no_such_module", "No module named 'no_such_module'"),
    "no functions": ("", "holds no functions"),
}


@pytest.mark.parametrize("kind", FAULTY)
def test_a_function_the_runtime_refuses_stops_the_start(kind, refusal):
    source, reason = FAULTY[kind]
    assert reason in refusal(source)


def test_a_function_with_a_key_stops_the_start(refusal):
    source = """
        @app.route(route="a", auth_level=func.AuthLevel.FUNCTION)
        async def f(req: func.HttpRequest) -> func.HttpResponse: ...
        """
    assert refusal(source) == "f: authLevel is function; the local host has no function keys, so only anonymous works"


def test_a_retry_policy_stops_the_start(refusal):
    source = """
        @app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:01")
        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        async def f(timer: func.TimerRequest) -> None: ...
        """
    assert refusal(source) == "f: the local host has no retry policies"


def test_a_connection_string_is_not_told_when_it_is_no_such_thing(refusal):
    source = """
        @app.queue_trigger(arg_name="message", queue_name="q", connection="C")
        async def f(message: func.QueueMessage) -> None: ...
        """
    message = refusal(source, C="AccountKey=secret")
    assert message == "f: its connection is not a storage connection string"


def test_a_port_that_is_taken_stops_the_start(host, refusal):
    source = """
        @app.route(route="a")
        async def f(req: func.HttpRequest) -> func.HttpResponse: ...
        """
    taken = host(source).url.rpartition(":")[2]
    assert f"cannot listen on 127.0.0.1 port {taken}" in refusal(source, "--port", taken)
