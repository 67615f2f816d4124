"""A small DNS server for tests: it answers from its zone, or not at all."""

import socket
from threading import Thread

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset

# Values that replace the records of a name.
SILENT = "silent"
BROKEN = "broken"


class NameServer:
    """Serves `zone` over UDP on loopback: for each name, its records as lines like "MX 10 mx.x.".

    A name that is not in it does not exist. `asked` lists the queries in order.
    """

    def __init__(self, zone: dict[str, list[str] | str]) -> None:
        self.zone = zone
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as farewell:
            farewell.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def resolver(self) -> dns.resolver.Resolver:
        """Return a resolver that uses only this server."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self._socket.getsockname()[1]
        return resolver

    def _serve(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if not data:
                return
            answer = self._answer(dns.message.from_wire(data))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        records = self.zone.get(name)
        if records == SILENT:
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if records is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif records == BROKEN:
            answer.set_rcode(dns.rcode.SERVFAIL)
        for record in records or ():
            its_kind, _, value = record.partition(" ")
            if its_kind == kind:
                answer.answer.append(dns.rrset.from_text(question.name, 300, "IN", kind, value))
        return answer
