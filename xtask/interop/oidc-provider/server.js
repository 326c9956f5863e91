// npm's `oidc-provider` as an authorization server for the client credentials
// grant: `node server.js SETTINGS`. What it is told and what it says is with the
// tests that start it, in crates/bloom-auth/tests/it/other_servers/server.rs.
//
// Version 8 of the package: version 9 wants a newer Node.js than Debian has.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:https';
import { once } from 'node:events';

import Provider from 'oidc-provider';

// Synchronous, so that nothing is left unsaid at the end.
const say = (line) => writeSync(1, `${line}\n`);

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));

const doors = [];
for (const { certificate, key } of settings.doors) {
  const door = createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
  door.listen(0, '127.0.0.1');
  await once(door, 'listening');
  doors.push(door);
}
const ports = doors.map((door) => door.address().port);

const clients = settings.clients.map(({ id, method, secret, public_key: key }) => ({
  client_id: id,
  token_endpoint_auth_method: method,
  ...(secret && { client_secret: secret }),
  ...(key && { jwks: { keys: [createPublicKey(key).export({ format: 'jwk' })] } }),
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
}));
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(`https://127.0.0.1:${ports[0]}`, {
  clients,
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  cookies: { keys: ['of no use to this grant'] },
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  jwks: { keys: [privateKey.export({ format: 'jwk' })] },
  routes: { token: '/oauth/token' },
});

const handle = provider.callback();
for (const door of doors) {
  door.on('request', (request, response) => {
    say('request');
    handle(request, response);
  });
}

process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
say(`ready ${ports.join(' ')}`);
