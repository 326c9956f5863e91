"""PyPI's Authlib on Flask as an authorization server for the client credentials grant:
`python server.py SETTINGS`. What it is told and what it says is with the tests that
start it, in crates/bloom-auth/tests/it/other_servers/server.rs.
"""

import json
import os
import ssl
import sys
import threading

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError, grants
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from flask import Flask
from joserfc import jwk, jwt
from joserfc.errors import JoseError
from werkzeug.serving import WSGIRequestHandler, make_server

PATH = "/oauth/token"
METHODS = ["client_secret_basic", "client_secret_post"]
ASSERTION = JWTBearerClientAssertion.CLIENT_AUTH_METHOD


def say(line):
    # At once and whole, whichever thread it is.
    os.write(1, f"{line}\n".encode())


class Client(ClientMixin):
    def __init__(self, settings):
        self.id = settings["id"]
        self.method = settings["method"]
        self.secret = settings.get("secret")
        self.public_key = None
        if "public_key" in settings:
            self.public_key = jwk.import_key(settings["public_key"], settings["key_type"])

    def get_client_id(self):
        return self.id

    def check_client_secret(self, client_secret):
        return self.secret == client_secret

    def check_endpoint_auth_method(self, method, endpoint):
        if method == ASSERTION:
            method = "private_key_jwt"
        return endpoint == "token" and method == self.method

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope):
        return scope or ""


class Grant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = [*METHODS, ASSERTION]


class Assertions(JWTBearerClientAssertion):
    def __init__(self, audience):
        super().__init__()
        self.audience = audience
        self.seen = set()

    def get_audiences(self):
        return [self.audience]

    def validate_jti(self, claims, jti):
        is_new = jti not in self.seen
        self.seen.add(jti)
        return is_new

    def resolve_client_public_key(self, client):
        return client.public_key

    # As the original, which takes no Ed25519.
    def process_assertion_claims(self, assertion, resolve_key):
        try:
            token = jwt.decode(assertion, resolve_key, algorithms=["RS256", "ES256", "EdDSA"])
        except JoseError as error:
            raise InvalidClientError(description=error.description) from error
        self.verify_claims(token.claims)
        return token.claims


class Quiet(WSGIRequestHandler):
    def log_request(self, *args):
        pass


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        settings = json.load(file)
    clients = {it["id"]: Client(it) for it in settings["clients"]}

    app = Flask(__name__)
    server = AuthorizationServer(
        app, query_client=clients.get, save_token=lambda token, request: None
    )
    server.register_grant(Grant)

    @app.before_request
    def count():
        say("request")

    @app.post(PATH)
    def token():
        return server.create_token_response()

    doors = []
    for door in settings["doors"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(door["certificate"], door["key"])
        doors.append(
            make_server(
                "127.0.0.1", 0, app, threaded=True, request_handler=Quiet, ssl_context=context
            )
        )
    ports = [door.server_port for door in doors]
    server.register_client_auth_method(
        ASSERTION, Assertions(f"https://127.0.0.1:{ports[0]}{PATH}")
    )
    for door in doors:
        threading.Thread(target=door.serve_forever, daemon=True).start()
    say("ready " + " ".join(map(str, ports)))
    sys.stdin.read()


main()
