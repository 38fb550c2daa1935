"""A real SMTP server (aiosmtpd) for the tests of mail: `smtp_server.py none|starttls|tls [CERT KEY USER PASSWORD]`.

Speaks lines of JSON: {"event": "ready", "port": …}, then {"event": "mail", …} for each message and {"event": "refused", …} for each recipient
that it does not take: nobody@… never (550), slow@… not the first time (451).
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Mailbox:
    def __init__(self):
        self.slow = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            say("refused", to=address, code=550)
            return "550 5.1.1 no such user here"
        if address.startswith("slow@") and address not in self.slow:
            self.slow.add(address)
            say("refused", to=address, code=451)
            return "451 4.7.1 greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
        say(
            "mail",
            mail_from=envelope.mail_from,
            rcpt_tos=envelope.rcpt_tos,
            headers={name.lower(): str(value) for name, value in message.items()},
            parts=parts,
            defects=[str(defect) for defect in message.defects],
            authenticated=bool(session.authenticated),
            tls=session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
            hello=session.host_name,
        )
        return "250 2.0.0 queued"


async def main():
    mode, *rest = sys.argv[1:]
    mailbox, context, options = Mailbox(), None, {}
    if mode != "none":
        certificate, key, user, password = rest
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        def authenticate(server, session, envelope, mechanism, data):
            right = data.login == user.encode() and data.password == password.encode()
            return AuthResult(success=right, handled=right)

        options = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": mode == "starttls"}
        if mode == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
    loop = asyncio.get_running_loop()
    make = lambda: SMTP(mailbox, hostname="localhost", **options)
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if mode == "tls" else None)
    say("ready", port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
