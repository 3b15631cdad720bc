"""The demo's app in this process: the page and its API behind the gate, asked by HTTP without a socket."""

import asyncio
import json
import threading

import fastapi
import gradio as gr
import httpx

from serving import limits
from serving.gate import APP_KWARGS

JSON = {"Content-Type": "application/json"}


async def asked(app, method, path, address="127.0.0.1", **request):
    """What an ASGI app answers to a request from this address."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://demo", timeout=None) as client:
        return await client.request(method, path, **request)


class DemoApp:
    """A page, with an event loop of its own in a thread. `build` makes it, in the loop: elsewhere Gradio leaks one."""

    def __init__(self, build):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.page, self.app = self.run(self.mounted(build))
        self.lifespan = self.app.router.lifespan_context(self.app)
        self.run(self.lifespan.__aenter__())

    async def mounted(self, build):
        page = build()
        page.has_launched = True  # as `launch` says: before that, Gradio does not check which files are asked for
        options = {"max_file_size": limits.UPLOAD_BYTES, "run_history": False, "ssr_mode": False, "show_error": False}
        return page, gr.mount_gradio_app(fastapi.FastAPI(), page, "/", app_kwargs=APP_KWARGS, **options)

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def ask(self, method, path, address="127.0.0.1", **request):
        return self.run(asked(self.app, method, path, address, **request))

    def close(self):
        self.run(self.lifespan.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)

    def component(self, function):
        """The number of the component that has this server function."""
        components = self.ask("GET", "/config").json()["components"]
        return next(each["id"] for each in components if function in each["props"].get("server_fns", ()))

    def ask_component(self, data, function="read_strokes"):
        call = {"session_hash": "s", "component_id": self.component(function), "fn_name": function, "data": data}
        return self.ask("POST", "/gradio_api/component_server/", content=json.dumps(call), headers=JSON)

    def join(self, name, *data, **request):
        """The first of the API's two steps: a place in the queue."""
        return self.ask("POST", f"/gradio_api/call/{name}", json={"data": data}, **request)

    def result(self, name, joined):
        """The second step -> the answer. Raises `ValueError` with the sentence of an error."""
        text = self.ask("GET", f"/gradio_api/call/{name}/{joined.json()['event_id']}").text
        event, data = (line.partition(": ")[2] for line in text.strip().splitlines()[-2:])
        if event != "complete":
            raise ValueError((json.loads(data) or {}).get("error") if data != "null" else None)
        return json.loads(data)[0]

    def call(self, name, *data):
        return self.result(name, self.join(name, *data))

    def upload(self, path):
        """-> what the API takes for a picture."""
        with open(path, "rb") as file:
            (stored,) = self.ask("POST", "/gradio_api/upload", files={"files": file}).json()
        return {"path": stored, "meta": {"_type": "gradio.FileData"}}
