from __future__ import annotations

from collections.abc import Iterator

import pytest

from service import Service
from ways import WAYS, Client, Clients


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """With a daemon."""
    service = Service()
    service.start_daemon()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def queue() -> Iterator[Service]:
    """Without a daemon."""
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def clients(queue: Service) -> Iterator[Clients]:
    """Of the queue without a daemon."""
    clients = Clients(queue.application_url)
    yield clients
    clients.close()


@pytest.fixture(params=WAYS)
def client(clients: Clients, request: pytest.FixtureRequest) -> Client:
    return clients.make(request.param)


@pytest.fixture(params=WAYS)
def served(service: Service, request: pytest.FixtureRequest) -> Iterator[Client]:
    """Of the queue with a daemon."""
    clients = Clients(service.application_url)
    yield clients.make(request.param)
    clients.close()
