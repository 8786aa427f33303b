"""A small HTTP service that hands its work to a pool, and shuts down as a service should.

    python examples/service.py --port 8000
    curl --data 'correct horse' http://127.0.0.1:8000/

POST a password and get its hash, which takes a worker a while to compute. When all workers are busy and the queue is
full, the answer is 503 at once: a client that is refused can go elsewhere, one that waits cannot.

On SIGTERM or Ctrl-C it goes on answering until what it has accepted is done, refuses what is new with 503 (``GET
/health`` says so too, for the load balancer), prints what became of every job, and exits with 0; whatever happens,
it is gone after 10 seconds.
"""

import argparse
import hashlib
import os
import signal
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from steadypool import JobCancelled, JobTimeout, PoolClosed, PoolState, QueueFull, ThreadPool, task

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
DRAIN_SECONDS = 10


@task(timeout=5)
def hash_password(password: bytes, rounds: int) -> str:
    return hashlib.pbkdf2_hmac("sha256", password, b"a salt", rounds).hex()


class Service(ThreadingHTTPServer):
    daemon_threads = False  # closing the server waits until every answer is written
    request_queue_size = 128

    def __init__(self, port: int, pool: ThreadPool, rounds: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.pool = pool
        self.rounds = rounds


class Handler(BaseHTTPRequestHandler):
    server: Service
    timeout = 2  # for a client that connects and says nothing

    def do_GET(self) -> None:
        is_open = self.server.pool.state is PoolState.OPEN
        self.answer(HTTPStatus.OK if is_open else HTTPStatus.SERVICE_UNAVAILABLE, self.server.pool.state.value)

    def do_POST(self) -> None:
        password = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            job = self.server.pool.try_submit(hash_password, password, self.server.rounds)
            self.answer(HTTPStatus.OK, job.result())
        except (QueueFull, PoolClosed, JobCancelled) as refused:
            self.answer(HTTPStatus.SERVICE_UNAVAILABLE, str(refused))
        except JobTimeout:
            self.answer(HTTPStatus.GATEWAY_TIMEOUT, "that took too long")

    def answer(self, status: HTTPStatus, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8000, help="0 for any free one")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=500_000, help="how hard a hash is to compute")
    options = parser.parse_args()

    # Blocked before any thread starts, so that only `sigwait` below gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    pool = ThreadPool(options.workers, queue_size=100, name="service")
    server = Service(options.port, pool, options.rounds)
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)

    signal.sigwait(STOP_SIGNALS)
    print("draining", flush=True)
    report = pool.drain(timeout=DRAIN_SECONDS)
    server.shutdown()
    server.server_close()
    print(report, flush=True)


if __name__ == "__main__":
    main()
